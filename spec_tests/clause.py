"""A clause: what is claimed, where it comes from, how strictly, and what it needs.

Tier `exact` is an identity held to rounding; `statistical` is a claim about an ensemble, with the rate at which a
correct implementation fails it stated. A clause is `pending` while the capability it speaks of is still being built in
setol_ww; it runs against every implementation that has it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clause:
    """One claim.

    Attributes
    ----------
    id, statement, source : str
    tier : str
        `exact` or `statistical`.
    needs : tuple of str
        Methods of the protocol.
    tolerance : str
        In words, for the report.
    error_rate : str
        For statistical clauses: how often a correct implementation fails one example.
    pending : bool
    """

    id: str
    statement: str
    source: str
    needs: tuple[str, ...]
    tolerance: str = "equality"
    tier: str = "exact"
    error_rate: str = ""
    pending: bool = False
