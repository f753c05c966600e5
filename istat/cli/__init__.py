"""The command `istat`, and what it and the tools beside it say to people. It talks to servers by istat.client."""

#: Exit status of a command that Ctrl-C ended: what shells say of SIGINT.
INTERRUPTED = 130
