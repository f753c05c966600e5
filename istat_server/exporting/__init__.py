"""The exporter's port: what came in, for Prometheus."""
