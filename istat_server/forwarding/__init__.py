"""Forwarding by a server: what it takes goes to the forwarder (`istat.forwarding`), and on once the journal has it."""
