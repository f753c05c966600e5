"""What files do to the machine's page cache: which of their pages are in memory, how to advise the kernel, and what a
given memory costs. docs/page-cache.md explains it. Knows Linux's system calls; needs no server and nothing but the
standard library."""
