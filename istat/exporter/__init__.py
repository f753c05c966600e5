"""The latest value of each series that came in, for Prometheus: istatd's exporter, for server and agent."""
