"""Runs one clause against one implementation and keeps count."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from .protocol import Implementation

#: Examples per clause, and whether they are the same in every run.
PROFILES = {"dev": (8, True), "ci": (40, True), "deep": (1000, False)}
VARIABLE = "SETOL_SPEC_PROFILE"
SEED_VARIABLE = "SETOL_SPEC_SEED"


@dataclass
class Watch:
    """Judges the claims of one clause and remembers the worst of them."""

    examples: int = 0
    worst: float = 0.0
    claims: int = 0

    def require_claims(self) -> None:
        """A clause that passed without judging anything has not been tested."""
        if not self.claims:
            raise AssertionError("no example reached a claim")

    def that(self, claim: bool, said: str) -> None:
        """A claim that is true or false."""
        self.claims += 1
        if not claim:
            raise AssertionError(said)

    def equal(self, what: str, got: Any, want: Any) -> None:
        """Two answers that have to be the same."""
        self.that(got == want, f"{what} is {got}, not {want}")

    def close(self, what: str, got: Any, want: Any, *, tol: float) -> None:
        """Numbers within `tol`; the worst |got - want| / tol is reported. NaN is never close."""
        got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
        self.that(got.shape == want.shape, f"{what} has shape {got.shape}, not {want.shape}")
        self.that(bool(np.isfinite(got).all()), f"{what} is {_brief(got)}, not finite")
        distance = float(np.max(np.abs(got - want), initial=0.0))
        self.worst = max(self.worst, distance / tol)
        self.that(distance <= tol, f"{what} is {_brief(got)}, not {_brief(want)}: off by {distance:.3g} > {tol:.3g}")

    def near(self, what: str, got: Any, want: Any, *, rel: float) -> None:
        """As `close`, with a tolerance relative to the largest of `want`."""
        largest = float(np.max(np.abs(np.asarray(want, dtype=float)), initial=0.0))
        self.close(what, got, want, tol=rel * largest if largest else rel)

    def at_most(self, what: str, got: float, bound: float) -> None:
        """A number and its upper bound."""
        self.that(math.isfinite(got) and got <= bound, f"{what} is {got:.6g}, above {bound:.6g}")


@dataclass(frozen=True)
class Check:
    """The test of a clause: a function of the implementation, the watch and what hypothesis draws."""

    id: str
    function: Callable[..., None]
    strategies: dict[str, SearchStrategy]
    share: float = 1.0


@dataclass
class Checks:
    """All checks by clause id; two for one id are an error."""

    by_id: dict[str, Check] = field(default_factory=dict)

    def add(self, id: str, *, share: float = 1.0, **strategies: SearchStrategy) -> Callable:
        """Decorator: this function is the test of clause `id`. `share` scales the number of examples."""

        def keep(function: Callable[..., None]) -> Callable[..., None]:
            if id in self.by_id:
                raise ValueError(f"clause {id} has two checks")
            self.by_id[id] = Check(id, function, strategies, share)
            return function

        return keep


checks = Checks()


def profile() -> str:
    """The profile named by SETOL_SPEC_PROFILE, else dev."""
    name = os.environ.get(VARIABLE, "dev")
    if name not in PROFILES:
        raise ValueError(f"{VARIABLE}={name!r} was asked; accepted are {', '.join(PROFILES)}")
    return name


def run(id: str, implementation: Implementation, watch: Watch, *, profile_name: str | None = None) -> None:
    """Run the check of one clause; raises what it raises, a minimal example in its notes."""
    check = checks.by_id[id]
    if not check.strategies:
        watch.examples = 1
        check.function(implementation, watch)
        watch.require_claims()
        return
    number, derandomised = PROFILES[profile_name or profile()]

    @settings(
        max_examples=max(1, round(number * check.share)),
        derandomize=derandomised,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(**check.strategies)
    def examples(**drawn: Any) -> None:
        watch.examples += 1
        check.function(implementation, watch, **drawn)

    with constants_of_no_module():
        # A seed would take the place of derandomisation.
        (examples if derandomised else seed(int(os.environ.get(SEED_VARIABLE, "0")))(examples))()
    watch.require_claims()


@contextmanager
def constants_of_no_module() -> Iterator[None]:
    """Draws without the literals of the modules that happen to be loaded, which hypothesis mixes into them.

    With them the examples of a clause would change with every import and every number edited anywhere in the suite.
    """
    loaded = getattr(providers, "_get_local_constants", None)
    if loaded is None:
        # A hypothesis that mixes none in, or keeps them elsewhere.
        yield
        return
    none = type(loaded())()
    providers._get_local_constants = lambda: none
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        providers._get_local_constants = loaded
        providers.CONSTANTS_CACHE.cache.clear()


def _brief(values: np.ndarray) -> str:
    if values.ndim == 0:
        return f"{float(values):.12g}"
    return f"{values.size} numbers from {float(values.flat[0]):.6g}" if values.size else "nothing"
