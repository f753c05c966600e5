"""Replicas: what a master answers to those that follow it (`master/`), and what a replica asks and keeps."""
