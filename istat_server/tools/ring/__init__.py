"""`istat ring`: istatd's ring files, dumped, checked, made and filled; docs/formats/ring-file.md. A module has the
sub-command and istatd's program of the same purpose, its ALIAS."""
