"""Files of other systems, read and written: istatd's rings, whisper, RRD, CSV. Knows rows, no store of ours."""
