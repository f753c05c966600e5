"""Listeners and the intake: how samples come in."""
