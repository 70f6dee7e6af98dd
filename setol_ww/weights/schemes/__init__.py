"""Weights that are stored as several tensors, or as codes: one file a scheme; the only place that knows them.

Names, shapes, types and the config tell a scheme; values are read part by part when a part is asked for.
"""

from .base import Fetch, Ingredient, Recipe, Refusal, Scheme, Stock
from .registry import joined, read, schemes

__all__ = ["Fetch", "Ingredient", "Recipe", "Refusal", "Scheme", "Stock", "joined", "read", "schemes"]
