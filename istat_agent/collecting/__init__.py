"""What the agent collects: finding plugins, and running their collectors in time."""
