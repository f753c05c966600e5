"""prometheus-port of the agent: what collectors report, for Prometheus."""
