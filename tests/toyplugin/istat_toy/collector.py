"""The toy's part in the agent: how many files wait in a folder."""

from __future__ import annotations

import os

from istat.plugin import Config, Emit, Metric, Setting, collector


@collector(
    name="toy",
    help="Files that wait in a folder.",
    settings=[Setting("folder", str, "/var/spool/toy", "where the files are")],
    metrics=[Metric("toy.waiting", "files", "files in the folder")],
)
def collect(emit: Emit, config: Config) -> None:
    """One reading."""
    emit.gauge("toy.waiting", len(os.listdir(config["folder"])))
