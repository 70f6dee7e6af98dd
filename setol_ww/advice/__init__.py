"""From tables to decisions: what changed between two models, what to do with one.

Reads results, and weights where an update is asked for; draws nothing.
"""
