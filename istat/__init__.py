"""The common library of istatd: what both daemons, plugins and applications import."""

__version__ = "0.1.0"
