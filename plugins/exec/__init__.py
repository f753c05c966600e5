"""Built-in collector: see collector.py."""
