"""Forwarding of all that a daemon takes to other servers, for server and agent alike: docs/specs/0011-replication.md.

`options` are the settings, `targets` what `forward` means, `forwarder` is the whole: the spool, and a group of targets
for each entry of `forward`. It knows sockets as a client does, and neither daemon.
"""
