"""Files that hold weights, opened without loading them and read tensor by tensor; no code in them is ever run.

Stands on `core` and `weights`.
"""
