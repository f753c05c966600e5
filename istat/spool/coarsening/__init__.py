"""Making what waits in a spool coarser, so that an outage costs detail and no sample.

    beginning.py    whether there is need
    choosing.py     which segments are next, and to which buckets
    rewriting.py    a run of segments written anew, aside
    coarsener.py    putting the new one in their place
"""
