"""Pictures of finished results, one file each: results in, `Axes` out.

Never shows, saves or computes.
"""
