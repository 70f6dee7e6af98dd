"""weightwatcher 0.7.7 behind the protocol, and where it is known to fail."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import torch

from ..protocol import Cut, Files, Implementation, Row, Tail, Traps
from ..quietly import quiet

with quiet():
    import weightwatcher
    from weightwatcher import RMT_Util
    from weightwatcher.constants import DEFAULT_PARAMS


SIZES = ("N", "M", "Q", "rf", "num_evals")


class PlainWeightWatcher(Implementation):
    """weightwatcher as it is, through the methods its `analyze` calls for a layer."""

    name = "weightwatcher"
    version = version("weightwatcher")
    required = frozenset(
        {
            *("eigenvalues", "pooled_eigenvalues", "matrix_rank", "stored_eigenvalues", "stored_rank"),
            *("tail_fit", "erg_cut", "traps", "truncate", "scan"),
        }
    )
    expected_failures: dict[str, str] = {  # noqa: RUF012 read only
        "ERG-02": "It takes the first k with a product below one, also where the k before is nearer to one.",
        "ERG-04": "It multiplies eigenvalues: the product over- or underflows once its logarithm passes about 710.",
        "ERG-09": "A flat spectrum is answered with a tail of none.",
        "ERG-10": "Of a rank-deficient layer it takes one eigenvalue that is zero.",
        "ERG-12": "Of a zero layer it answers with index 0 and an eigenvalue of zero as the start.",
        "ERG-13": "Of two eigenvalues it takes both, whichever is nearer: the loop ends before a single one is tried.",
        "TAIL-02": "It drops eigenvalues below an absolute 1e-5, so alpha depends on the scale of W.",
        "TAIL-10": "Equal eigenvalues come out as a fit with an exponent of 0 or infinity.",
        "TAIL-11": "Below twenty eigenvalues it uses a bias-corrected estimate and another choice of the start.",
        "TAIL-12": "A failed fit is -1 in every field.",
        "TAIL-14": "It lets the tail start between equal eigenvalues, so alpha is not that of the tail it counts.",
        "TRAP-05": "It shuffles with numpy's global generator and takes no seed.",
        "TRAP-07": "Below 100 eigenvalues it pools five shuffles and counts the same trap in each.",
        "TRUNC-01": "It truncates by a randomised SVD of seven iterations, exact to about 1e-12 only.",
        "TRUNC-02": "It truncates by a randomised SVD of seven iterations, exact to about 1e-12 only.",
        "TRUNC-05": "Its randomised SVD finds other vectors for the transposed matrix where singular values are close.",
        "TRUNC-06": "It truncates by a randomised SVD: what is kept is not quite orthogonal to what is lost.",
        "SCAN-01": "Its rows stand in the order in which the tensors come, from whichever file.",
        "SCAN-04": "One NaN or infinity ends the whole analysis; a layer without elements is dropped without a word.",
    }

    def __init__(self) -> None:
        with quiet():
            self.watcher = weightwatcher.WeightWatcher()
        self.random_state = np.random.RandomState(0).get_state()

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """Its noise kept in; its draws follow one another from call to call, as they do in a process."""
        host, level = np.random.get_state(), logging.getLogger("weightwatcher").level
        logging.getLogger("weightwatcher").setLevel(logging.CRITICAL)
        np.random.set_state(self.random_state)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                yield
        finally:
            self.random_state = np.random.get_state()
            np.random.set_state(host)
            logging.getLogger("weightwatcher").setLevel(level)

    def eigenvalues(self, W: np.ndarray) -> np.ndarray:
        return self.pooled_eigenvalues([W])

    def pooled_eigenvalues(self, matrices: list[np.ndarray]) -> np.ndarray:
        N, M = max(matrices[0].shape), min(matrices[0].shape)
        with self.talking():
            return self.watcher.combined_eigenvalues(matrices, N, M, M, DEFAULT_PARAMS.copy())[0]

    def matrix_rank(self, W: np.ndarray) -> int:
        with self.talking():
            return int(RMT_Util.matrix_rank(np.sqrt(self.eigenvalues(W)), max(W.shape)))

    def tail_fit(self, raw: np.ndarray) -> Tail | None:
        with self.talking():
            alpha, _, xmin, _, D, sigma, spikes, *_ = self.watcher.fit_powerlaw(np.sort(raw), plot=False)
        return Tail(alpha, sigma, xmin, spikes, D)

    def erg_cut(self, raw: np.ndarray) -> Cut | None:
        raw = np.sort(raw)
        with self.talking():
            number, index = RMT_Util.detX_constraint(raw)
        return Cut(number, raw[index])

    def traps(self, W: np.ndarray, seed: int) -> Traps:
        N, M = max(W.shape), min(W.shape)
        replicas = 5 if M < 100 else 1
        with self.talking():
            evals = self.watcher.random_eigenvalues([W], M, replicas, DEFAULT_PARAMS.copy())
            fit = self.watcher.mp_fit(evals, N, M, 1, "", 0, 0, False, False, "", "red", 1.0, True, evals)
        return Traps(int(fit[0]), float(evals[-1]))

    def truncate(self, W: np.ndarray, rank: int) -> np.ndarray:
        with self.talking():
            return self.watcher.smooth_W(W, rank, "accurate")

    def stored_eigenvalues(self, W: np.ndarray, dtype: str) -> np.ndarray:
        with self.talking():
            return np.sort(self.watcher.get_ESD(model=_stored(W, dtype), layer=1))

    def stored_rank(self, W: np.ndarray, dtype: str) -> int:
        with self.talking():
            return int(self.watcher.analyze(model=_stored(W, dtype))["matrix_rank"].iloc[0])

    def scan(self, files: Files) -> list[Row]:
        """Its table of the state dict that the files make; no row where the analysis ends in an error."""
        state = {name: torch.from_numpy(np.asarray(W)) for tensors in files for name, W in tensors.items()}
        with self.talking():
            try:
                table = self.watcher.analyze(model=state)
            except ValueError:
                return []
        numbers = table.select_dtypes("number").drop(columns=[*SIZES, "layer_id"])
        return [
            Row(f"{row['longname']}.weight", "" if row["status"] == "success" else row["warning"], cells.to_dict())
            for (_, row), (_, cells) in zip(table.iterrows(), numbers.iterrows(), strict=True)
        ]


def _stored(W: np.ndarray, dtype: str) -> dict[str, torch.Tensor]:
    """A state dict of one layer."""
    return {"layer.weight": torch.from_numpy(W).to(getattr(torch, dtype))}


def implementation() -> PlainWeightWatcher:
    """For `SETOL_SPEC_IMPL=weightwatcher`."""
    return PlainWeightWatcher()
