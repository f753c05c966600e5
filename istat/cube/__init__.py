"""Counting by several dimensions inside a program: cubes of cells, merged without error across programs and machines."""
