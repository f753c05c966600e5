"""`istat replica`."""
