"""Eigenvalues, singular directions and shuffles of one matrix in float64, block by block, without Python's lock.

Knows matrices, not what they mean. Stands on `core`.
"""
