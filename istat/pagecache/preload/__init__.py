"""Running an unmodified program with advice on all its files, or without the advice that it gives itself.

advice.c is a shared library that stands before the C library's open, mmap, madvise and so on; setup.py builds it where
there is a C compiler, as an extension module, which it is not. running.py starts programs with it.
"""
