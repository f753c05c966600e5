"""What a command says beside its answer, on standard error: why it failed, and warnings. With --json each is one line
of JSON there, so that standard output has the answer and nothing else. Knows no command.

What is said may have a file's name in it, or a sender's words: no sign that a terminal would act upon gets through.
"""

from __future__ import annotations

import argparse
import json
import sys

from istat.cli.report import printable


def warn(arguments: argparse.Namespace, text: str) -> None:
    """What one should know, though the command goes on: one line, also where a file's name has several."""
    print(json.dumps({"warning": text}) if arguments.json else f"istat: {printable(text)}", file=sys.stderr)


def fail(text: str, status: int, as_json: bool, program: str = "istat") -> int:
    """Why the command ends with this status, which is given back."""
    shown = f"{program}: " + "\n".join(map(printable, text.split("\n")))
    print(json.dumps({"error": text, "status": status}) if as_json else shown, file=sys.stderr)
    return status
