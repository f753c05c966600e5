"""Brings what was collected to the server by datagrams or a connection; `forwarding` is the way by a spool."""
