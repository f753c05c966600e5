"""What a daemon needs to be one: signals, logs, privileges, its PID file, handover to its successor."""
