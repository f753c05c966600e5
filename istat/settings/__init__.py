"""Settings: declared once, from which flags, environment variables, files, help, docs and validation are made."""
