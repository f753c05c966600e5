"""Namespaces: keys and values kept for people and pages, with the earlier versions of each key (istatd: settings)."""
