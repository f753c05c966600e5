"""The spool: frames of lines on the disk until every group of targets has had them. Format: docs/formats/spool.md.

    spool.py        Spool: frames come in, groups read them, what is done or too much goes
    cursors.py      Cursor: how far one group is, and what of it is in doubt
    frames.py       frames and headers as bytes
"""
