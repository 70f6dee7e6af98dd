"""Mutation testing of setol_ww: drawing mutants, choosing tests by coverage, trying, telling. See `scripts/mutants.py`."""
