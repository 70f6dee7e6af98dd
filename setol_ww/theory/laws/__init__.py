"""Closed-form laws of layer spectra: density, Stieltjes transform, R-transform, cumulants and ERG cut.

| law | what it models | has |
|---|---|---|
| `MarchenkoPastur` | W^T W / N of independent entries | everything |
| `InverseMarchenkoPastur` | an ideal layer in the paper's fifth model | everything; R up to kappa/2 |
| `TruncatedPowerLaw` | a power law between two ends | everything; G and R by quadrature |
| `FreeCauchy` | alpha = 2 with symmetric noise | no mean, no cumulants, no ERG cut |
| `LevyWigner` | alpha in (1, 2) | R and its integral only, and those formal |
| `MultiplicativeWishart` | products of random matrices | R, its integral, cumulants and moments, as corrected |
| `UnevenNoise` | independent entries, rows and columns of unequal strength | density, edges, their scale, quantiles |

A method that does not exist for a law raises `InvalidInput` with the reason. R of the first three is that of the law
for t up to G(upper end), `r_limit`; past it a spectrum has the saturated R = upper end - 1/t (Guionnet and Maida 2005),
which `saturated_r` and `saturated_integrated_r` give for every t > 0. A hard end, where G diverges, never saturates.

Numbers of equations and tables are those of arXiv 2507.17912; where its formula is wrong (docs/errata.md) the
corrected one stands here.
"""

from __future__ import annotations

from .base import Law
from .free_cauchy import FreeCauchy
from .inverse_marchenko_pastur import InverseMarchenkoPastur
from .levy_wigner import LevyWigner
from .marchenko_pastur import MarchenkoPastur
from .multiplicative_wishart import MultiplicativeWishart
from .truncated_power_law import TruncatedPowerLaw
from .uneven_noise import UnevenNoise

__all__ = [
    "FreeCauchy",
    "InverseMarchenkoPastur",
    "Law",
    "LevyWigner",
    "MarchenkoPastur",
    "MultiplicativeWishart",
    "TruncatedPowerLaw",
    "UnevenNoise",
]
