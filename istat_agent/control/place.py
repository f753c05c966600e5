"""Where the control socket is: what the setting says, else in the runtime folder of the service. Knows no socket."""

from __future__ import annotations

import os
from collections.abc import Mapping

from istat.settings.setting import Values

NAME = "control"
# Where the package's unit has its runtime folder: a command that is typed does not see what the service is told.
SERVICE = "/run/istat-agent"


def runtime_folder(environ: Mapping[str, str]) -> str:
    """The first of the service's runtime folders, as systemd.exec(5) tells them; "" where there is none."""
    return environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]


def of_agent(values: Values, environ: Mapping[str, str]) -> str:
    """Where an agent listens; "": nowhere."""
    if values["control-path"] is not None:
        return os.path.abspath(str(values["control-path"]))
    folder = runtime_folder(environ)
    return os.path.join(folder, NAME) if folder else ""


def of_command(values: Values, environ: Mapping[str, str]) -> str:
    """Where a command asks."""
    return of_agent(values, environ) or os.path.join(SERVICE, NAME)
