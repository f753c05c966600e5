"""Loads the agent's settings, for the daemon and for its commands. Knows not what is done with them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from istat.access import trust
from istat.errors import PluginError, SettingsError
from istat.settings.declaration import Values
from istat_agent import transport
from istat_agent.options import DECLARATION


def load(arguments: Sequence[str]) -> Values:
    """The settings. SettingsError also for a file that others could change: it says what is run."""
    path = DECLARATION.file_named(arguments, os.environ)
    if os.path.isfile(path):
        try:
            trust.check(path)
        except PluginError as error:
            raise SettingsError(f"the settings file says what is run, and {error}") from None
        except OSError as error:
            raise SettingsError(f"cannot see whether others could change the settings file {path}, which says what is "
                                f"run: {error.strerror}") from error
    return transport.resolved(DECLARATION.load(arguments, os.environ))
