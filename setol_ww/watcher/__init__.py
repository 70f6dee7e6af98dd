"""`WeightWatcher` with SETOL columns: the only room that knows weightwatcher.

| file | what it does |
|---|---|
| `upstream` | imports weightwatcher quietly; its names, its arguments, its refusals |
| `model` | whatever the user gave, as weightwatcher takes it and as entries |
| `numerics` | the same numbers as weightwatcher's, faster |
| `mp` | its Marchenko-Pastur fit to the last bit, with one evaluation of the density |
| `records` | one call of analyze: a record per row, the status of every tensor, the results |
| `standins` | what its code finds in place of `print`, `numpy.random`, `matplotlib.pyplot`, ... |
| `threads` | spectra and shuffles begun ahead |
| `walk` | which layers are walked: weightwatcher's, each readable, then what it passes over |
| `base` | differences to a base model, layer by layer |
| `combined` | modes that make one row of several layers, and which went in |
| `questions` | the sizes, weights and eigenvalues of single rows, without an analysis |
| `distances` | two models, layer by layer |
| `plugin` | our class in the place of the host's weightwatcher's |
| `subclass` | the class: what it overrides and why |
"""

from .plugin import plug_in, plug_out, plugged_in
from .subclass import WeightWatcher, analyze, examine

__all__ = ["WeightWatcher", "analyze", "examine", "plug_in", "plug_out", "plugged_in"]
