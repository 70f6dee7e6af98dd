"""What a tensor means: names, shapes and owners of tensors, the layers asked for, layouts, and the plan of jobs.

Reads names, shapes, types, classes and the config beside a checkpoint, never values. Stands on `core`.
"""
