"""A plugin that uses every door: the example of docs/extending.md, and run by ftest/server/test_toy_plugin.py."""
