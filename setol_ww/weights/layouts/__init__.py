"""Which matrices a tensor holds: one file a layout, asked in order; the only place that decides it.

Reads names, shapes, the module's class and attributes, and the config beside a checkpoint, never values.
"""

from .parts import Part
from .registry import KNOWN_FROM, Layout, Reading, Situation, layouts, read_as, read_as_asked

__all__ = ["KNOWN_FROM", "Layout", "Part", "Reading", "Situation", "layouts", "read_as", "read_as_asked"]
