"""What becomes of an instance for others to read: JSON, Prometheus' text, lines for a server of ours, tables."""
