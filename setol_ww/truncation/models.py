"""Models on the leading singular directions of their weights: truncated copies, in place with restore, evaluated.

A model is a torch module or a mapping of names to tensors. Its weights are cut as they are analysed: dense matrices
whole, convolutions per kernel slice with one cut for the pooled spectrum, packed experts, recurrent gates and the q, k,
v of `in_proj_weight` each by itself, tied weights once. Arithmetic is float64, the result has the dtype of the weight.
Other fused projections (`c_attn`, `qkv_proj`) are cut whole, as WeightWatcher analyses them.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..core.arrays import precision
from ..core.card import Card, Fact, Shown
from ..core.checks import seed_of
from ..core.errors import InvalidInput
from ..core.progress import progress_bar
from ..core.tones import Tone
from ..linalg.directions import Directions, directions, projected_blocks
from ..linalg.scaled import Scaled, with_one_exponent
from ..spectrum.esd import Spectrum
from .holds import copying, truncating
from .pieces import Piece, pieces_of
from .plans import Plan, as_rules
from .rules import Rule, Undefined, layer_seed

logger = logging.getLogger(__name__)

Model = TypeVar("Model")
Evaluate = Callable[[Any], "float | Mapping[str, float]"]
ATTEMPTS = 3
#: Pieces that are truncated at the moment, with the values they had.
Saved = list[tuple[Piece, list[Any]]]
PLAN_COLUMNS = ("rule", "layer", "rank", "rank_fraction", "kept_energy")


@dataclass(frozen=True, repr=False)
class LayerCut(Shown):
    """What a rule does to one layer.

    Attributes
    ----------
    rule, layer : str
        `layer` is the name in the table of `analyze`, a slice in brackets.
    rank, num_evals : int
        Number of components kept, and of all (pooled over kernel slices).
    rank_fraction, kept_energy : float
        rank / num_evals, and the share of the squared Frobenius norm that is kept.
    reason : str
        Why the layer is left whole; empty where it is not.
    """

    rule: str
    layer: str
    rank: int
    rank_fraction: float
    kept_energy: float
    num_evals: int
    reason: str = ""

    def _card(self) -> Card:
        kept = f"{self.rank} of {self.num_evals} components ({100 * self.rank_fraction:.3g} %)"
        facts = [
            Fact("rule", self.rule),
            Fact("kept", "all, it stays whole" if self.reason else kept, Tone.CAUTION if self.reason else Tone.PLAIN),
        ]
        if self.kept_energy == self.kept_energy:
            facts.append(Fact("energy", f"{100 * self.kept_energy:.3g} % of the squared Frobenius norm"))
        return Card(self.layer, facts, [self.reason])


class Components:
    """Singular directions of all slices of one piece, and the order of the pooled singular values."""

    def __init__(self, matrices: Sequence[Any]) -> None:
        found = [directions(matrix.detach()) for matrix in matrices]
        self.slices: list[Directions] = [one for one in found if one is not None]
        self.is_finite = len(self.slices) == len(found)
        parts, exponent = with_one_exponent([Scaled(one.sigma, one.exponent) for one in self.slices])
        sigma = np.concatenate(parts) if self.is_finite else np.full(1, np.nan)
        self.order = np.argsort(-sigma, kind="stable")
        rows, columns = matrices[0].shape
        squares, eps = np.sort(sigma) ** 2, precision(matrices[0])
        self.spectrum = Spectrum(squares, max(rows, columns), min(rows, columns), len(found), eps, 2 * exponent)

    def kept_of_each(self, kept: np.ndarray) -> list[np.ndarray]:
        """Positions kept in every slice, from positions in the pooled descending order."""
        slice_of, within = np.divmod(self.order[kept], self.spectrum.M)
        return [np.sort(within[slice_of == number]) for number in range(len(self.slices))]


class Bench:
    """Pieces of a model with their components, each computed once, on the weights as they were."""

    def __init__(self, pieces: list[Piece], seed: int) -> None:
        self.pieces = pieces
        self.seed = seed
        self._components: dict[int, Components] = {}

    def components(self, piece: Piece) -> Components:
        """Singular directions of a piece."""
        if id(piece) not in self._components:
            self._components[id(piece)] = Components(piece.matrices())
        return self._components[id(piece)]

    def forget(self, piece: Piece) -> None:
        """Let the directions of a piece go."""
        self._components.pop(id(piece), None)

    def cut(self, piece: Piece, asked: Rule | Plan) -> tuple[LayerCut, np.ndarray | None]:
        """The line of the plan and the positions kept; None where the piece stays as it is."""
        n, rule = piece.num_evals, asked.of(piece.title)
        whole = (rule.name, piece.title, n, 1.0 if n else np.nan, 1.0 if n else np.nan, n)
        if piece.reason:
            return LayerCut(*whole, piece.reason), None
        found = self.components(piece)
        if not found.is_finite:
            return LayerCut(*whole[:4], np.nan, n, piece.bad_entries()), None
        try:
            kept = rule.kept(found.spectrum, layer_seed(self.seed, piece.title))
        except Undefined as why:
            return LayerCut(*whole, f"{rule.name} has no cut: {why}"), None
        if kept.size == n:
            return LayerCut(*whole), None
        descending = found.spectrum.values[::-1]
        energy = float(descending[kept].sum() / descending.sum())
        return LayerCut(rule.name, piece.title, int(kept.size), kept.size / n, energy, n), kept

    def write(self, piece: Piece, kept: np.ndarray) -> None:
        """Put the projection of a piece in its place."""
        import torch

        found, matrices = self.components(piece), piece.matrices()
        for matrix, one, positions in zip(matrices, found.slices, found.kept_of_each(kept), strict=True):
            tall, start = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T, 0
            for block in projected_blocks(matrix, one, positions):
                tall[start : start + len(block)].copy_(torch.from_numpy(block))
                start += len(block)
        piece.put(matrices)

    @contextlib.contextmanager
    def applied(
        self,
        pieces: Sequence[Piece],
        rule: Rule | Plan,
        saved: Saved,
        *,
        keep: bool = True,
        progress: bool | None = False,
    ) -> Iterator[list[LayerCut]]:
        """The pieces truncated in place, put back on the way out whatever happens.

        What is to be put back is in `saved`, for the caller to do so where an interrupt came before the first line of
        the way out. `keep` holds on to the directions for the next rule.
        """
        # The caller puts back too: an interrupt before the first line of this `finally` leaves the work to that one.
        try:
            plan = []
            for piece in with_bar(pieces, progress):
                line, kept = self.cut(piece, rule)
                plan.append(line)
                if kept is not None:
                    saved.append((piece, [matrix.clone() for matrix in piece.matrices()]))
                    self.write(piece, kept)
                if not keep:
                    self.forget(piece)
            yield plan
        finally:
            put_all_back(saved)


def put_all_back(saved: Saved) -> None:
    """Every piece back in its place; what comes between (Ctrl-C, a piece that refuses) is raised when all are done."""
    stopped: BaseException | None = None
    refusals = 0
    while saved:
        try:
            while saved:
                put_back(*saved[-1])
                saved.pop()
        except BaseException as error:  # noqa: BLE001
            stopped = error
            # Put back twice a value is right; a piece that refuses again and again keeps no other from its place.
            refusals += 1
            if refusals > ATTEMPTS:
                saved.pop()
                refusals = 0
    if stopped is not None:
        raise stopped


def put_back(piece: Piece, values: Sequence[Any]) -> None:
    """Values into a piece where it lies now: to convert or move a model gives its tensors other memory."""
    matrices = piece.matrices()
    for matrix, value in zip(matrices, values, strict=True):
        matrix.copy_(value)
    piece.put(matrices)


def truncate(
    model: Model,
    rule: Any = "erg",
    layers: Any = None,
    *,
    layouts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Model:
    r"""A copy of a model with every layer on the singular directions that a rule keeps.

    :math:`W_{ecs} = W P`, :math:`P = V_k V_k^T`, k = k* of `erg_cut` for the default rule.

    Parameters
    ----------
    model : torch.nn.Module or mapping of names to tensors
        Copied by `copy.deepcopy`; the argument is untouched.
    rule : str, callable or mapping
        `erg`, `powerlaw`, `mp`, `gavish-donoho`, `bulk`, `rank:K`, `energy:F`, `random:K`, or `Spectrum -> int`;
        all are listed in `setol_ww.truncation.rules`. A mapping of names of layers to rules cuts these layers only:
        `setol_ww.recommend(results, "truncate").rules()`.
    layers : optional
        Only these: names, types (`dense`, `conv2d`, `Linear`) or ids, or all but those with a minus, as in `analyze`.
    layouts : mapping of str to str, optional
        What you know of tensors, as in `analyze`: each part that is named is cut by itself.
    seed : int
        Of `random:K`, from 0 to 2**32 - 1.
    progress : bool, optional
        A bar on the standard error; None shows it on a terminal once the work has taken two seconds.

    Returns
    -------
    As `model`
        Layers whose cut is not defined stay whole; `truncated` tells which, they are logged here.

    Raises
    ------
    InvalidInput
        Unknown rule, no such layers, no such seed, nothing to truncate, or another thread has truncated the model.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Sequential(torch.nn.Linear(60, 40))
    >>> int(torch.linalg.matrix_rank(ww.truncate(net, "rank:7")[0].weight))
    7
    """
    chosen, seed = as_rules(rule), seed_of(seed)
    pieces = pieces_of(model, layers, layouts)
    chosen.refuse_strangers(piece.title for piece in pieces)
    with copying(pieces):
        copied = copy.deepcopy(model)
    bench = Bench(pieces_of(copied, layers, layouts), seed)
    for piece in with_bar(bench.pieces, progress):
        line, kept = bench.cut(piece, chosen)
        if kept is not None:
            bench.write(piece, kept)
        if line.reason:
            logger.info("%s stays whole: %s", line.layer, line.reason)
        bench.forget(piece)
    return copied


@contextlib.contextmanager
def truncated(
    model: Any,
    rule: Any = "erg",
    layers: Any = None,
    *,
    layouts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Iterator[list[LayerCut]]:
    """A model truncated in place inside the `with` block, and the same bits as before after it.

    Values change in the memory of the same tensors: tied weights, optimisers, hooks, `requires_grad`, gradients and
    version counters are as they were. Exceptions and KeyboardInterrupt restore too. A model converted or moved inside
    the block (`model.half()`, `model.to(device)`) is restored where it lies then, in the dtype it has then.

    What takes the place of a tensor inside the block is not restored: after `model.weight = nn.Parameter(...)`, or
    another tensor under the same name in a mapping, the model holds what was put there.

    While it lasts other threads are refused with `InvalidInput` what would truncate, evaluate or copy these weights.

    Parameters
    ----------
    model, rule, layers, layouts, seed, progress
        As in `truncate`.

    Yields
    ------
    list of LayerCut
        One for each layer: rank, share of the rank, kept energy, and why it was left whole if it was.
        `pandas.DataFrame(plan)` makes a table of it.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Linear(60, 40)
    >>> with ww.truncated(net, "energy:0.5") as plan:
    ...     plan[0].layer, plan[0].num_evals, plan[0].kept_energy >= 0.5
    ('weight', 40, True)
    """
    chosen, seed = as_rules(rule), seed_of(seed)
    bench = Bench(pieces_of(model, layers, layouts), seed)
    chosen.refuse_strangers(piece.title for piece in bench.pieces)
    saved: Saved = []
    with truncating(bench.pieces):
        try:
            with bench.applied(bench.pieces, chosen, saved, keep=False, progress=progress) as plan:
                yield plan
        finally:
            put_all_back(saved)


def evaluate_truncation(
    model: Any,
    evaluate: Evaluate,
    rules: Any = ("powerlaw", "erg"),
    layers: Any = None,
    per_layer: bool = False,
    *,
    layouts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """What truncation costs: the model evaluated under each rule and restored.

    Parameters
    ----------
    model, layers, layouts, seed
        As in `truncate`.
    evaluate : callable
        `model -> float` (column `metric`) or a mapping of names to floats. Ready-made: `classification_metrics`,
        `perplexity`. It may convert or move the model; a tensor that it puts in the place of another stays there, see
        `truncated`.
    rules : sequence
        Rules as in `truncate`.
    per_layer : bool
        One layer at a time instead of all together.
    progress : bool, optional
        A bar on the standard error; None shows it on a terminal.

    Returns
    -------
    DataFrame
        A row for each rule (and layer): `rule, layer, rank, rank_fraction, kept_energy`, every metric, `base_*`,
        `delta_*` = truncated - base (an error that grows is positive), `num_evals`, `reason`. With all layers together
        `layer` is `all`, ranks are summed and energies averaged over the components of the layers that could be read.
        Where nothing is cut the metrics are the base's.

    Raises
    ------
    InvalidInput
        Unknown rule or layers, `evaluate` answers something else, or another thread has truncated the model.

    Notes
    -----
    Singular directions are computed once for each layer and shared by the rules: 8 M^2 bytes for a layer of shorter
    side M, of all layers at a time unless `per_layer`.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Linear(60, 40, bias=False)
    >>> frame = ww.evaluate_truncation(net, lambda m: m.weight.norm().item(), rules=["rank:5", "bulk"])
    >>> frame["rank"].tolist()[0], bool((frame["delta_metric"] < 0).all())
    (5, True)
    """
    one = isinstance(rules, (str, Mapping)) or callable(rules)
    chosen = [as_rules(rule) for rule in ([rules] if one else rules)]
    if not chosen:
        raise InvalidInput(f"rules={rules!r} was asked; accepted is at least one rule")
    bench = Bench(pieces_of(model, layers, layouts), seed_of(seed))
    for rule in chosen:
        rule.refuse_strangers(piece.title for piece in bench.pieces)
    groups = [(piece.title, [piece]) for piece in bench.pieces] if per_layer else [("all", bench.pieces)]
    with truncating(bench.pieces):
        return evaluated(bench, evaluate, model, [(title, group, chosen) for title, group in groups], progress)


def evaluated(
    bench: Bench,
    evaluate: Evaluate,
    model: Any,
    tasks: Iterable[tuple[str, list[Piece], Sequence[Rule | Plan]]],
    progress: bool | None,
) -> pd.DataFrame:
    """The table for groups of pieces, each under its own rules; directions go when a group of one piece is done."""
    saved: Saved = []
    try:
        return _evaluated(bench, evaluate, model, list(tasks), saved, progress)
    finally:
        put_all_back(saved)


def _evaluated(
    bench: Bench,
    evaluate: Evaluate,
    model: Any,
    tasks: Sequence[tuple[str, list[Piece], Sequence[Rule | Plan]]],
    saved: Saved,
    progress: bool | None,
) -> pd.DataFrame:
    base = measured(evaluate, model)
    rows = []
    total = sum(len(rules) for _, _, rules in tasks)
    with progress_bar(total, "truncations", progress) as bar:
        for title, group, rules in tasks:
            for position, rule in enumerate(rules):
                # The first rule waits for the directions of all layers, so their number is shown too.
                first = position == 0 and len(group) > 1
                with bench.applied(group, rule, saved, progress=progress if first else False) as plan:
                    changed = any(line.rank < line.num_evals for line in plan)
                    metrics = measured(evaluate, model) if changed else base
                rows.append(_row(rule, title, plan, metrics, base))
                bar.update()
            if len(group) == 1:
                bench.forget(group[0])
    return pd.DataFrame(rows)


def measured(evaluate: Evaluate, model: Any) -> dict[str, float]:
    """The metrics of a model by name."""
    answer = evaluate(model)
    metrics = dict(answer) if isinstance(answer, Mapping) else {"metric": answer}
    reserved = {*PLAN_COLUMNS, "num_evals", "reason"} & set(metrics)
    try:
        numbers = {
            str(name): float(value.detach() if hasattr(value, "detach") else value) for name, value in metrics.items()
        }
    except (TypeError, ValueError):
        numbers = {}
    if not numbers or reserved:
        raise InvalidInput(
            f"evaluate answered {answer!r}; accepted is a number or a mapping of names to numbers, "
            f"none called {', '.join((*PLAN_COLUMNS, 'num_evals', 'reason'))}"
        )
    return numbers


def _row(
    rule: Rule | Plan, title: str, plan: list[LayerCut], metrics: dict[str, float], base: dict[str, float]
) -> dict:
    if set(metrics) != set(base):
        raise InvalidInput(
            f"evaluate answered {sorted(metrics)} and before {sorted(base)}; accepted is one set of names"
        )
    line = plan[0] if len(plan) == 1 else pooled(title, plan)
    row = {**asdict(line), "rule": rule.name, "layer": title}
    last = {name: row.pop(name) for name in ("num_evals", "reason")}
    row |= metrics | {f"base_{name}": value for name, value in base.items()}
    return row | {f"delta_{name}": metrics[name] - base[name] for name in base} | last


def pooled(title: str, plan: Sequence[LayerCut]) -> LayerCut:
    """One line for several layers: ranks summed, energy weighted by the number of components.

    On unit-mean scale every component of a layer has energy 1 on average, so layers of any scale weigh by their size.
    """
    read = [line for line in plan if line.kept_energy == line.kept_energy]
    rank, n = sum(line.rank for line in read), sum(line.num_evals for line in read)
    energy = sum(line.kept_energy * line.num_evals for line in read)
    reason = "; ".join(f"{line.layer}: {line.reason}" for line in plan if line.reason)
    rule = plan[0].rule if plan else ""
    return LayerCut(rule, title, rank, rank / n if n else np.nan, energy / n if n else np.nan, n, reason)


def with_bar(pieces: Sequence[Piece], progress: bool | None) -> Iterator[Piece]:
    """The pieces behind a bar."""
    with progress_bar(len(pieces), "layers", progress, leave=False) as bar:
        for piece in pieces:
            yield piece
            bar.update()
