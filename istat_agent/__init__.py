"""The agent: runs collector plugins on time and ships what they report to a server."""
