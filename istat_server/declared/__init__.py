"""What senders declare of metrics: kept by name, on disk, and told of counters."""
