"""The store on one machine: journal, head, StatFiles, compaction; interface.py says what any store must do."""
