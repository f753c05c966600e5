"""What keeps a collector from hurting the agent: children, marks of who runs, verdicts, the watchdog."""
