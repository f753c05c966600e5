"""What forwarding needs before it begins: the spool's folder, made while we may, and what TLS needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from istat import owners
from istat.access import guarded
from istat.access.ondisk import make_folder
from istat.errors import SpoolError


def context_of(values: Mapping[str, Any]) -> Any:
    """What TLS needs to forward, None without. SettingsError for files that cannot be used."""
    if not values["forward-tls"]:
        return None
    from istat.daemon.tls import client_context  # only now: its libraries take 5 MB

    return client_context(values["forward-ca"], values["forward-cert"], values["forward-key"])


def prepare_folder(folder: Path, user: str) -> None:
    """Make the spool's folder while we may; it is the user's whom we become ("": ours). SpoolError."""
    try:
        guarded.check(folder)
        if folder.is_dir():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)       # whoever may pass those above it, as that user must
        make_folder(folder)
        if user and os.geteuid() == owners.ROOT:
            with guarded.Place(folder) as place:
                place.give(owners.identity(user))
    except KeyError:
        return      # no such user, which is told where it is to be taken
    except OSError as error:
        raise SpoolError(f"the folder {folder} of the spool cannot be made: {error.strerror}; name another with "
                         "--spool, or make it this user's") from error
