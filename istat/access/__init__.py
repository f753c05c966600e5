"""What is looked at before a file is opened by a name that others may have a hand in.

`guarded`: files that are written or read for ourselves; no link of others is followed. `trust`: files that are run;
nobody else may be able to change them. `dropin`: which files of a drop-in folder are meant at all. And `replacing`: a
file takes another's place as a whole.
"""
