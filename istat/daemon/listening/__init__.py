"""Sockets that a daemon listens on."""
