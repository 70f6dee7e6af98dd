"""`trap_effect`: what a correlation trap does to the function of a model, beside directions of the bulk of its size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from ..core.arrays import FloatArray
from ..core.as_json import as_json
from ..core.card import Card, Fact, Shown
from ..core.checks import positive_integer, seed_of
from ..core.errors import InvalidInput
from ..core.printable import GridColumn, visible
from ..core.tones import Tone
from ..traps.find import LEVEL
from ..truncation.holds import truncating
from ..truncation.models import Saved, put_all_back
from ..truncation.pieces import Piece, pieces_of
from .candidates import listed as few_of
from .outputs import as_inputs, divergence, drawn_inputs, log_probabilities
from .removals import Part, Trapped

SCHEMA = 1
# Elements of a layer that have a row each.
MOST_ELEMENTS = 10


@dataclass(frozen=True)
class Removal:
    """What one trap does: a row of `TrapEffect.table()`.

    Attributes
    ----------
    layer, carrier, place : str
        `carrier` is `element`, `mean shift`, `spread`, or `all` for everything that `remove_traps` changes.
    pvalue : float
        Of the trap in its layer.
    norm : float
        Frobenius norm of what is taken out, in units of W.
    share_of_variance : float
        Its square over that of the layer.
    mass : float
        Share of its energy in the twentieth of the entries where it is largest.
    participation : float
        Participation ratio: 1 for a single entry, the number of entries where all are alike.
    overlap : float
        Share of its energy inside the leading sector (ERG tail) of the layer, on both sides.
    js : float
        Mean Jensen-Shannon divergence of the model's outputs with and without it, in nats; at most ln 2.
    js_bulk, js_bulk_high : float
        Median and 95 % point of the same for rank-one directions of the bulk of that norm.
    beyond : float
        Share of those directions with a smaller divergence.
    """

    layer: str
    carrier: str
    place: str
    pvalue: float
    norm: float
    share_of_variance: float
    mass: float
    participation: float
    overlap: float
    js: float
    js_bulk: float
    js_bulk_high: float
    beyond: float


@dataclass(frozen=True, repr=False)
class TrapEffect(Shown):
    """What the traps of a model do to its function.

    Attributes
    ----------
    removals : tuple of Removal
        A row for each trap; empty without traps.
    n_inputs : int
        Number of output distributions that were compared.
    drawn : bool
        True where the inputs were drawn, which are not those the model was trained on.
    controls, seed : int
        As asked.
    reason : str
        Why there are no rows; empty where there are.
    left_out : dict of str to str
        Layers in which no trap was looked for, and why.
    """

    removals: tuple[Removal, ...]
    n_inputs: int
    drawn: bool
    controls: int
    seed: int
    reason: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """A row for each trap, and one for all of a layer where it has several."""
        names = [one.name for one in fields(Removal)]
        return pd.DataFrame([asdict(one) for one in self.removals], columns=names)

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.reason:
            return f"No effect to tell: {self.reason}."
        most = max(self.removals, key=lambda one: one.js)
        against = "more than" if most.js > most.js_bulk_high else "no more than"
        return (
            f"{len(self.removals)} removal{'s' if len(self.removals) > 1 else ''}; the largest effect is that of "
            f"{most.layer}, {most.carrier} {most.place}: JS = {most.js:.2g} nat, {against} directions of the bulk of "
            f"its size ({most.js_bulk:.2g}, 95 % below {most.js_bulk_high:.2g})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        return {"schema": SCHEMA, **as_json(asdict(self)), "sentence": self.sentence}

    def _card(self) -> Card:
        if not self.removals:
            tone = Tone.CAUTION if self.left_out else Tone.GOOD
            return Card("effect of the traps", [Fact("traps", "none", tone, self.reason)], self._left())
        inputs = "drawn inputs, not data" if self.drawn else "the inputs that were given"
        asked = f"{self.n_inputs} outputs on {inputs}, {self.controls} directions of the bulk each, seed {self.seed}"
        return Card("effect of the traps", (), [asked, self.sentence, *self._left()], _columns(self.removals))

    def _left(self) -> list[str]:
        told = [f"{visible(name)} ({visible(why)})" for name, why in self.left_out.items()]
        return [f"not looked at: {few_of(told)}"] if told else []


def trap_effect(
    model: Any,
    inputs: Any = None,
    *,
    layers: Any = None,
    layouts: Mapping[str, str] | None = None,
    n_inputs: int = 256,
    controls: int = 20,
    seed: int = 0,
    level: float = LEVEL,
) -> TrapEffect:
    r"""What correlation traps do to the function of a model: its outputs with and without each of them.

    :math:`JS = \langle \tfrac12 KL(p \| m) + \tfrac12 KL(p' \| m) \rangle`, m = (p + p') / 2, p the softmax of the
    model's outputs and p' that without the trap, averaged over the inputs; in nats.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits, or something that has them as `.logits`; in evaluation mode here. Put back bit for bit.
    inputs : tensor, array, tuple or mapping, optional
        One batch, as the model takes it. Drawn where none are given: standard normal numbers, or ids of the first
        embedding, which tell what a trap can do and not what it does on data.
    layers, layouts : optional
        As in `analyze`.
    n_inputs : int
        Number of inputs that are drawn.
    controls : int
        Number of directions of the bulk that each trap is held against: a b^T of the norm of what is taken out, a and b
        drawn outside of the ERG tail's singular vectors.
    seed : int
        Of shuffles, inputs and directions.
    level : float
        As in `find_traps`.

    Returns
    -------
    TrapEffect
        Without rows and with the reason where there are no traps.

    Raises
    ------
    InvalidInput
        No module, no such layers, outputs that are no logits, inputs that the model does not take, or inputs to be
        drawn for a first layer that does not say what it takes.

    Notes
    -----
    The measure is that of arXiv 2605.12394; the control says whether it is the trap or its size. Trained and planted
    nets: docs/traps.md.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> torch.manual_seed(0) is not None
    True
    >>> net = torch.nn.Sequential(torch.nn.Linear(100, 80), torch.nn.ReLU(), torch.nn.Linear(80, 10))
    >>> with torch.no_grad():
    ...     net[0].weight[3, 7] = 5.0
    >>> found = ww.trap_effect(net)
    >>> found.table()[["layer", "carrier", "place"]].values.tolist()
    [['0', 'element', '(3, 7)']]
    >>> ww.trap_effect(torch.nn.Linear(100, 80)).reason
    'no trap in any of the 1 layers'
    """
    if not hasattr(model, "named_modules"):
        raise InvalidInput(f"trap_effect of {type(model).__name__} was asked; accepted is a torch.nn.Module")
    seed, controls = seed_of(seed), positive_integer("controls", controls)
    number = positive_integer("n_inputs", n_inputs)
    listed = pieces_of(model, layers, layouts, asked="trap_effect of")
    left_out = {piece.title: piece.reason for piece in listed if piece.reason}
    pieces = [piece for piece in listed if not piece.reason]
    batch = drawn_inputs(model, number, seed) if inputs is None else as_inputs(inputs)
    base = _answer(model, batch)
    rows: list[Removal] = []
    with truncating(pieces):
        for place, piece in enumerate(pieces):
            kernel = piece.part.kernel(piece.tensor.shape) if piece.part is not None else ()
            trapped = Trapped(piece.matrices(), kernel, seed=seed, level=level)
            if trapped.report.reason:
                left_out[piece.title] = trapped.report.reason
            if not trapped.report.count:
                continue
            for count, part in enumerate(trapped.parts(MOST_ELEMENTS)):
                without = _divergence(model, batch, base, piece, part.values)
                drawn = trapped.controls(part, controls, (seed, place, count))
                bulk = np.array([_divergence(model, batch, base, piece, values) for values in drawn])
                rows.append(_row(piece, trapped, part, without, bulk))
    looked = len(listed) - len(left_out)
    reason = "" if rows else f"no trap in any of the {looked} layers" if looked else "no layer could be looked at"
    return TrapEffect(tuple(rows), int(base.shape[0]), inputs is None, controls, seed, reason, left_out)


def _answer(model: Any, batch: Any) -> Any:
    """What the model answers; what its forward pass refuses is told as what was asked wrongly."""
    try:
        return log_probabilities(model, batch)
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"trap_effect of {type(model).__name__} was asked; it does not take these inputs "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}). Accepted is one batch as its "
            "forward takes it: trap_effect(model, inputs)"
        ) from error


def _divergence(model: Any, batch: Any, base: Any, piece: Piece, values: FloatArray) -> float:
    """How far the outputs move when these values are subtracted from a layer."""
    with without(piece, values):
        return divergence(base, log_probabilities(model, batch))


@contextlib.contextmanager
def without(piece: Piece, values: FloatArray) -> Iterator[None]:
    """A layer with values of shape (rows, columns, slices) subtracted, in place, and put back bit for bit."""
    import torch

    matrices = piece.matrices()
    saved: Saved = [(piece, [matrix.clone() for matrix in matrices])]
    try:
        for number, matrix in enumerate(matrices):
            part = torch.from_numpy(np.ascontiguousarray(values[..., number])).to(matrix.device)
            matrix.copy_(matrix.double() - part)
        piece.put(matrices)
        yield
    finally:
        put_all_back(saved)


def _row(piece: Piece, trapped: Trapped, part: Part, js: float, bulk: FloatArray) -> Removal:
    return Removal(
        layer=piece.title,
        carrier=part.carrier,
        place=part.place,
        pvalue=part.pvalue,
        norm=part.norm,
        share_of_variance=trapped.share_of_variance(part),
        mass=part.mass,
        participation=part.participation,
        overlap=trapped.overlap(part),
        js=js,
        js_bulk=float(np.median(bulk)),
        js_bulk_high=float(np.percentile(bulk, 95)),
        beyond=float(np.mean(bulk < js)),
    )


def _columns(rows: tuple[Removal, ...]) -> list[GridColumn]:
    def numbers(name: str, form: str, worth: int, head: str = "") -> GridColumn:
        return GridColumn(head or name, [format(getattr(one, name), form) for one in rows], worth=worth)

    return [
        GridColumn("layer", [visible(one.layer) for one in rows], right=False, least=8),
        GridColumn("trap", [f"{one.carrier} {one.place}" for one in rows], right=False, least=12),
        numbers("pvalue", ".1g", 3, "p"),
        numbers("share_of_variance", ".2g", 2, "variance"),
        numbers("participation", ".3g", 4),
        numbers("overlap", ".2f", 1),
        numbers("js", ".2g", 0, "JS"),
        numbers("js_bulk", ".2g", 0, "bulk"),
        numbers("js_bulk_high", ".2g", 0, "95 %"),
    ]
