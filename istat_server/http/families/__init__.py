"""What answers: a module for each family of addresses, and the table of their routes (table.py)."""
