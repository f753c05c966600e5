"""The log tells tags of plugins that come and go while the agent runs."""

import logging

import pytest

from tests.agent.test_exchange import Bench, eventually
from tests.agent.test_exchange import bench as bench
from tests.agent.test_exchange import quick as quick


def test_tags_of_a_plugin_that_is_dropped_in_are_told(
    bench: Bench, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    agent = bench.start()
    with caplog.at_level(logging.INFO):
        bench.write("cloud.py", "from istat.plugin import hookimpl\n\n@hookimpl\ndef istat_tags(host):\n"
                                "    return ['zone.eu1']\n")
        eventually(lambda: "drop-in folders: tags of plugins are now zone.eu1" in caplog.text)
        assert agent.tags() == ["zone.eu1"]
        (bench.folder / "cloud.py").unlink()
        eventually(lambda: "drop-in folders: tags of plugins are now none" in caplog.text)
    assert agent.tags() == []
