"""What laws, transforms and linear algebra refuse, and what they print as: see `kept_words.py`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

import setol_ww as ww
from setol_ww.linalg import device, leading, routines, symmetric
from setol_ww.linalg.directions import project

from .kept_words import Call

LAWS: dict[str, Any] = {
    "Marchenko-Pastur": ww.laws.MarchenkoPastur(0.5, 2.0),
    "square": ww.laws.MarchenkoPastur(1.0),
    "inverse": ww.laws.InverseMarchenkoPastur(1.0),
    "power law": ww.laws.TruncatedPowerLaw(2.0, 1.0, 10.0),
    "Cauchy": ww.laws.FreeCauchy(1.0, 0.5),
    "Levy": ww.laws.LevyWigner(1.5),
    "Wishart": ww.laws.MultiplicativeWishart(0.5, 1.0),
    "uneven": ww.laws.UnevenNoise([1.0, 1.0, 4.0], np.ones(3), 0.5),
}
#: Methods with what they are asked; without brackets a property.
ASKED: dict[str, Callable[[Any], Any]] = {
    "support": lambda law: law.support,
    "mean": lambda law: law.mean,
    "moment(2)": lambda law: law.moment(2),
    "moment(-1)": lambda law: law.moment(-1),
    "pdf(1)": lambda law: law.pdf(1.0),
    "pdf('a')": lambda law: law.pdf("a"),
    "cdf(1)": lambda law: law.cdf(1.0),
    "cdf(1j)": lambda law: law.cdf(1j),
    "stieltjes(2)": lambda law: law.stieltjes(2.0),
    "stieltjes('a')": lambda law: law.stieltjes("a"),
    "r_transform(99)": lambda law: law.r_transform(99.0),
    "integrated_r(-1)": lambda law: law.integrated_r(-1.0),
    "free_cumulants(2)": lambda law: law.free_cumulants(2),
    "free_cumulants(0)": lambda law: law.free_cumulants(0),
    "erg_lambda_min": lambda law: law.erg_lambda_min,
    "erg_fraction": lambda law: law.erg_fraction,
    "saturated_r(0)": lambda law: law.saturated_r(0.0),
    "formal_r(0.1)": lambda law: law.formal_r(0.1),
}


def refusals(asked: dict[str, Callable[[], Any]]) -> str:
    """What is refused of it, a line each; what is answered is left out."""
    lines = []
    for name, ask in asked.items():
        try:
            ask()
        except AttributeError:
            continue
        except (ww.InvalidInput, LookupError, TypeError, np.linalg.LinAlgError) as error:
            lines.append(f"{name}: {type(error).__name__}: {error}")
    return "\n".join(lines)


def of_law(law: Any) -> str:
    return f"{law!r}\n" + refusals({name: lambda ask=ask: ask(law) for name, ask in ASKED.items()})


PARAMETERS: dict[str, Callable[[], Any]] = {
    "q = 0": lambda: ww.laws.MarchenkoPastur(0.0),
    "sigma2 = 0": lambda: ww.laws.MarchenkoPastur(0.5, 0.0),
    "kappa = inf": lambda: ww.laws.InverseMarchenkoPastur(math.inf),
    "ends the other way": lambda: ww.laws.TruncatedPowerLaw(2.0, 3.0, 1.0),
    "gamma = 0": lambda: ww.laws.FreeCauchy(0.0, 0.0),
    "alpha = 2": lambda: ww.laws.LevyWigner(2.0),
    "phi = 0": lambda: ww.laws.MultiplicativeWishart(1.0, 0.0),
    "strengths below 0": lambda: ww.laws.UnevenNoise([1.0], [-1.0]),
    "no strengths": lambda: ww.laws.UnevenNoise([0.0, 0.0], [1.0]),
    "none at all": lambda: ww.laws.UnevenNoise([], [1.0]),
    "q = -1": lambda: ww.laws.UnevenNoise([1.0], [1.0], -1.0),
}

TWO = [1.0, 2.0]
TRANSFORMS: dict[str, Callable[[], Any]] = {
    "moments of order 0": lambda: ww.transforms.moments(TWO, 0),
    "moments of words": lambda: ww.transforms.moments(["a"], 2),
    "moments of nothing": lambda: ww.transforms.moments([], 2),
    "moments of a table": lambda: ww.transforms.moments([TWO], 2),
    "cumulants of no moments": lambda: ww.transforms.free_cumulants([]),
    "cumulants of a NaN": lambda: ww.transforms.free_cumulants([math.nan]),
    "cumulants of order 1.5": lambda: ww.transforms.free_cumulants_of(TWO, 1.5),
    "moments from words": lambda: ww.transforms.moments_from_cumulants(["a"]),
    "stieltjes at an eigenvalue": lambda: ww.transforms.stieltjes(2.0, TWO),
    "stieltjes of a word": lambda: ww.transforms.stieltjes("a", TWO),
    "r at 0": lambda: ww.transforms.r_transform(0.0, TWO),
    "r of a complex t": lambda: ww.transforms.r_transform(1j, TWO),
    "integrated r of an infinite t": lambda: ww.transforms.integrated_r([1.0, math.inf], TWO),
    "too few weights": lambda: ww.transforms.r_derivative(1.0, TWO, [1.0]),
    "weights below 0": lambda: ww.transforms.blue(1.0, TWO, [2.0, -1.0]),
    "weights of words": lambda: ww.transforms.blue(1.0, TWO, ["a", "b"]),
}

MATRICES: dict[str, Callable[[], Any]] = {
    "a rank too many": lambda: project(np.eye(3), 4),
    "a rank of a matrix that is not finite": lambda: project(np.full((2, 2), np.nan), 1),
    "a routine that is not there": lambda: routines.scipys("nosuch"),
    "an array of words for a routine": lambda: routines.call(print, np.array(["a"])),
    "a status": lambda: routines.check_converged("dsterf", np.array([3], dtype=routines.Integer)),
    "a device without float64": lambda: device.check_device("mps"),
}


def logged() -> str:
    """What is told in the log of ways that are not there."""
    told: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(f"{record.levelname} of {record.name}: {record.getMessage()}")

    handler, logger = Kept(), logging.getLogger("setol_ww.linalg")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with mock.patch.object(symmetric, "loaded", lambda symbols, strings: told.append(f"{symbols}, {strings}")):
            symmetric.two_stage_routine.__wrapped__()
        with mock.patch.object(leading, "eigsh", mock.Mock(side_effect=leading.ArpackError(-9, {-9: "no start"}))):
            told.append(str(leading.by_lanczos(lambda v: v, 4, 1)))
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    return "\n".join(told)


CALLS: dict[str, Call] = {
    **{f"laws: {name}": lambda _, law=law: of_law(law) for name, law in LAWS.items()},
    "laws: parameters": lambda _: refusals(PARAMETERS),
    "transforms: what is refused": lambda _: refusals(TRANSFORMS),
    "linear algebra: what is refused": lambda _: refusals(MATRICES),
    "linear algebra: what is logged": lambda _: logged(),
}
