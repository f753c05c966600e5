"""What a master does for its replicas: leases, files and its journal over HTTP (docs/protocols/replication.md)."""
