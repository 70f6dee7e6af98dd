"""A training run followed while it runs: one layer at a time, on copies, within a budget of time.

May use everything below; nothing of the run changes by it.
"""
