"""Before root is given up: can the user who comes then read the code?"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from istat import owners
from istat.daemon import legible
from istat.errors import IstatError

NOBODY = owners.User(65534, 65534, ())

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look with the eyes of others")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in use, the only one, in two folders below one that everybody reaches."""
    with tempfile.TemporaryDirectory(prefix="istat-legible-") as made:
        os.chmod(made, 0o755)
        path = Path(made) / "venv" / "code" / "some.py"
        path.parent.mkdir(parents=True)
        path.touch()
        spec = importlib.util.spec_from_file_location("some", path)
        assert spec is not None
        monkeypatch.setattr(sys, "modules", {"some": importlib.util.module_from_spec(spec), "sys": sys})
        yield path


def test_code_that_everybody_can_read(module: Path) -> None:
    legible.check(NOBODY, "nobody")
    module.unlink()
    legible.check(NOBODY, "nobody")


def test_what_keeps_the_user_out_is_named(module: Path) -> None:
    for shut in (module, module.parent, module.parent.parent):
        shut.chmod(0o700)
        with pytest.raises(IstatError) as caught:
            legible.check(NOBODY, "nobody")
        assert str(caught.value) == (
            f"the user nobody cannot read {module.parent}, where code of this program is: Permission denied ({shut} "
            f"belongs to root:root, mode 0700); install Python and istatd where that user can read them, such as /opt, "
            f"or name another with --user")
    legible.check(owners.User(0, 0, ()), "root")
