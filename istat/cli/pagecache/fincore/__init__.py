"""`istat fincore`: `command` has the options and prints tables and JSON, `rows` what a file's row is and which there
are; `comparing` is about other times, `picturing` about heat maps."""

from istat.cli.pagecache.fincore.command import COMMAND as COMMAND
