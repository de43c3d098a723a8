"""The Program: what is computed, as exact integer SSA with proven ranges.

`ops` is the page to read first: the whole op set, each with its meaning, range and width. Nothing here knows of
layers, targets or back ends.
"""
