"""The common library of istatd: what both daemons, plugins and applications import."""

__version__ = "2.0.0"
