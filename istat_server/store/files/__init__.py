"""What lies on the disk of a store: StatFiles, journal segments, the MANIFEST, and which of them are live."""
