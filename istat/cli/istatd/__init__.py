"""Programs under the names that istatd's had, those that need no store, and what sub-commands of `istat` share with
them. Which there are stands in istat_server/tools/__init__.py."""
