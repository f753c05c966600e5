"""Attacks on a server on loopback: what each does, who stands beside it, and how it is judged. See bench/attack.py."""
