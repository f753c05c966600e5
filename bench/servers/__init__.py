"""The systems that are measured, as processes: ours, a peer, and a toy for tests of the measurements."""
