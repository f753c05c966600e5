"""Runs programs so that nothing is left of them: with a deadline, bounded output, and all their descendants ended."""
