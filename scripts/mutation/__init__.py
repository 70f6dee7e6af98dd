"""Mutation testing: drawing mutants, choosing tests by coverage, trying, telling. See `scripts/mutants.py`."""
