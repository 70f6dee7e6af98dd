"""Correlation traps: outliers of the spectrum of the shuffled elements, where they sit, and their removal.

Stands on `linalg`, `theory` and `spectrum`; works on the elements of a matrix, not on its fits.
"""
