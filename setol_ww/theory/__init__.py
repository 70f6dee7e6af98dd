"""Free probability: moments and cumulants, Stieltjes and R-transforms, closed-form laws and the edge of noise.

Knows spectra of laws and atoms, no weights. Stands on `core`; public as `setol_ww.transforms` and `setol_ww.laws`.
"""
