"""The admin port: istatd's commands for scripts and people, one a line (docs/formats/admin-port.md)."""
