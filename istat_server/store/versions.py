"""What is said of a store that a newer istatd wrote. Such a store is never changed, nor taken for damaged."""
from __future__ import annotations

from istat import __version__
from istat.errors import StoreError


class NewerFormat(StoreError):
    """A newer istatd wrote it: `what` is of version `found`, and we read versions up to `known`."""

    def __init__(self, what: object, found: int | str, known: int) -> None:
        super().__init__(
            f"{what} is of version {found}, written by a newer istatd; this one, {__version__}, reads up to {known}. "
            "Install the version that wrote it again (`grep istatd-server /var/log/dpkg.log` tells which it was, "
            "`apt install istatd=VERSION` installs it), or restore a backup made before the upgrade")
