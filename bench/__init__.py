"""Load generator and measurements: our server beside a peer on the same generated work, in one session."""
