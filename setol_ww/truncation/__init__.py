"""Models and checkpoints on the leading singular directions of their weights: rules, in place, on disk, measured.

Stands on `layer`, `weights` and `formats`.
"""
