"""The contract suite: what every store must do, as test classes for pytest. For whoever brings a store.

    import pytest
    pytest.register_assert_rewrite("istat_server.testing.suite")
    from istat_server.testing import contract

    @pytest.fixture
    def opened(clock):                      # clock: istat.clock.FakeClock at contract.NOW
        store = MyStore(contract.RULES, clock)
        yield contract.Opened(store, clock)
        store.close()

    class TestNames(contract.Names): ...
    class TestLines(contract.Lines): ...    # and so on: contract.SUITE has all of them

A test of something that a store's capabilities leave out is skipped.
"""

from __future__ import annotations

from istat_server.testing.suite.batches import Batches
from istat_server.testing.suite.buckets import Buckets
from istat_server.testing.suite.changes import Changes
from istat_server.testing.suite.marked import MarkedLines
from istat_server.testing.suite.names import Names
from istat_server.testing.suite.opened import LADDER, NOW, RULES, Opened, T, close_to
from istat_server.testing.suite.samples import Answers, Lines

SUITE = (Names, Lines, Buckets, Answers, Changes, Batches, MarkedLines)

__all__ = ["LADDER", "NOW", "RULES", "SUITE", "Answers", "Batches", "Buckets", "Changes", "Lines", "MarkedLines",
           "Names", "Opened", "T", "close_to"]
