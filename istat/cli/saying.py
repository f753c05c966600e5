"""What a command says beside its answer, on standard error: why it failed, and warnings. With --json each is one line
of JSON there, so that standard output has the answer and nothing else. Knows no command.
"""

from __future__ import annotations

import argparse
import json
import sys


def warn(arguments: argparse.Namespace, text: str) -> None:
    """What one should know, though the command goes on."""
    print(json.dumps({"warning": text}) if arguments.json else f"istat: {text}", file=sys.stderr)


def fail(text: str, status: int, as_json: bool) -> int:
    """Why the command ends with this status, which is given back."""
    print(json.dumps({"error": text, "status": status}) if as_json else f"istat: {text}", file=sys.stderr)
    return status
