"""`WeightWatcher` with SETOL columns: the only room that knows weightwatcher.

weightwatcher analyses a layer through methods called on `self`; this subclass overrides a handful of them: which
layers are walked (so that one broken layer costs only itself and what weightwatcher passes over gets its row), how a
spectrum is computed, and what is added to a layer once its own metrics are there.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import table
from .analysis import LayerResult, analyze_spectrum
from .checkpoints import checkpoint_entries
from .contracts import InvalidInput, UnreadableCheckpoint, one_of
from .guest import quiet
from .layouts import Part, fused_parts, hidden_name, parts
from .sources import Entry, mapping_entries, module_entries, to_numpy
from .spectrum import EPS_FLOAT32, Spectrum, eigenvalues
from .tails import best_start

with quiet():
    import weightwatcher as _upstream
    from weightwatcher import weightwatcher as _rooms
    from weightwatcher.constants import DEFAULT_PARAMS, LAYER_TYPE, START_IDS

logger = logging.getLogger(__name__)

UPSTREAM_SIGNATURE = inspect.signature(_upstream.WeightWatcher.analyze)
OURS = ("quality", "seed", "engine", "n_jobs", "progress")
ENGINES = ("fast", "reference")
# weightwatcher's analyze() names these options differently from its own parameter table.
PARAMETER_OF = {"deltas": "deltaEs", "glorot_fix": "glorot_fit", "max_fingers": "MAX_FINGERS", "start_ids": START_IDS}
LIMITS = ("min_evals", "max_evals", "max_N")
SENTINELS = ("alpha", "D", "sigma", "xmin", "num_pl_spikes")
SUMMARY_OF_FITS = ("alpha", "alpha_weighted", "log_alpha_norm")
SUMMARY = ("log_norm", "alpha", "alpha_weighted", "log_alpha_norm", "log_spectral_norm", "stable_rank", "mp_softrank")
SUMMARY_OURS = ("tail_alpha", "erg_fraction", "delta_lambda_min", "erg_metric", "alpha_erg")
WW_FIT_MIN = 20
WW_THRESHOLD = 1e-5
SOUND_MIN_EVALS = 8
COVERAGE_COLUMNS = ["longname", "shape", "dtype", "n_params", "status", "reason"]


def analyze(model: Any, detX: bool = True, **options: Any) -> pd.DataFrame:
    """Analyse every layer of a model: WeightWatcher's columns and SETOL's beside them.

    Parameters
    ----------
    model : torch.nn.Module, mapping of names to tensors or arrays, 2-D array, or path
        A path is a `.safetensors`, `.pt`, `.pth`, `.th`, `.bin`, `.npz` or `.npy` file or a directory of
        these; its tensors are read one at a time.
    detX : bool
        Add the ERG and class columns (and WeightWatcher's detX columns).
    **options
        Every argument of `weightwatcher.WeightWatcher.analyze`, and ours: see `WeightWatcher.analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per layer, WeightWatcher's rows first and in its order, then what WeightWatcher passes over.
        `attrs["coverage"]` lists what became of every tensor.

    Raises
    ------
    InvalidInput
        The model has no weights or an option is not known.
    UnreadableCheckpoint
        A file is truncated, corrupt or not plain weights.

    Notes
    -----
    A layer that cannot be analysed has a row with `status` "failed" and the reason; the others are as usual.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> frame = ww.analyze(np.random.default_rng(0).normal(size=(60, 40)))
    >>> frame[["longname", "erg_rank", "erg_status"]].values.tolist()
    [['matrix', 31, 'ok']]
    """
    return WeightWatcher().analyze(model, detX=detX, **options)


@dataclass
class _Record:
    """What is known of one row while weightwatcher walks the layers."""

    ww_layer: Any
    longname: str
    origin: str
    label: str = ""
    is_kernel: bool = False
    failure: str = ""
    result: LayerResult | None = None
    precision: float = EPS_FLOAT32


@dataclass
class _Run:
    """One call of analyze."""

    entries: list[Entry]
    engine: str
    detX: bool
    limits: dict[str, int]
    layers: Any
    progress: bool | None
    records: list[_Record] = field(default_factory=list)
    status: dict[str, tuple[str, str]] = field(default_factory=dict)

    def record_of(self, ww_layer: Any) -> _Record:
        return next(record for record in reversed(self.records) if record.ww_layer is ww_layer)


class _LazyStateDict(dict):
    """A dict of tensors that are loaded when asked for; the last one stays, weightwatcher asks three times."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__({entry.name: None for entry in entries})
        self._entries = {entry.name: entry for entry in entries}
        self._last: tuple[str, Any] = ("", None)

    def __getitem__(self, name: str) -> Any:
        if self._last[0] != name:
            self._last = ("", None)
            self._last = (name, to_numpy(self._entries[name].load()))
        return self._last[1]


@dataclass(frozen=True)
class _Source:
    """A model as weightwatcher takes it, and its tensors as we see them."""

    model: Any
    entries: list[Entry]
    is_module: bool = False
    is_foreign: bool = False


def _source(model: Any) -> _Source:
    """Whatever the user gave, adapted; `InvalidInput` when it is nothing we know."""
    ancestry = [f"{cls.__module__}.{cls.__name__}" for cls in type(model).__mro__]
    if any(name.startswith("torch.") and name.endswith(".Module") for name in ancestry):
        source = _Source(model, module_entries(model), is_module=True)
    elif isinstance(model, (str, Path)):
        source = _lazy(checkpoint_entries(model))
    elif isinstance(model, Mapping):
        inner = model.get("state_dict")
        source = _lazy(mapping_entries(inner if isinstance(inner, Mapping) else model))
    elif hasattr(model, "shape") and hasattr(model, "dtype") and len(model.shape) == 2:
        source = _lazy(mapping_entries({"matrix.weight": model}))
    elif any(name.split(".")[0] in ("keras", "tensorflow", "onnx") for name in ancestry):
        return _Source(model, [], is_foreign=True)
    else:
        raise InvalidInput(_asked(model))
    if not any(entry.is_candidate for entry in source.entries):
        raise InvalidInput(_asked(model))
    return source


def _lazy(entries: list[Entry]) -> _Source:
    return _Source(_LazyStateDict(entries), entries)


def _asked(model: Any) -> str:
    what = f"{type(model).__name__} of shape {tuple(model.shape)}" if hasattr(model, "shape") else repr(model)[:200]
    return (
        f"analysing {what} was asked; it holds no weight of two or more dimensions. Accepted are a torch.nn.Module, "
        "a mapping of names to tensors, a 2-D array, or the path of a checkpoint"
    )


class WeightWatcher(_upstream.WeightWatcher):
    """weightwatcher's class with SETOL columns, per-layer isolation and an account of every tensor.

    Parameters
    ----------
    model : optional
        As for `setol_ww.analyze`; may be given to `analyze` instead.
    framework, base_model, log_level
        As for weightwatcher.

    Attributes
    ----------
    details : DataFrame
        The table of the last analysis.
    coverage : DataFrame
        One row per tensor of two or more dimensions: longname, shape, dtype, n_params, status (`analyzed`,
        `skipped`, `failed`) and reason.

    Examples
    --------
    >>> import numpy as np
    >>> watcher = WeightWatcher({"fc.weight": np.random.default_rng(0).normal(size=(60, 40))})
    >>> watcher.analyze()["tail_outcome"].tolist(), watcher.coverage["status"].tolist()
    (['ok'], ['analyzed'])
    """

    def __init__(self, model: Any = None, framework: Any = None, base_model: Any = None, log_level: Any = None) -> None:
        with quiet():
            super().__init__(None, framework)
        if log_level:
            logging.getLogger("weightwatcher").setLevel(log_level)
        self._source: _Source | None = None
        self._run: _Run | None = None
        self.coverage = pd.DataFrame(columns=COVERAGE_COLUMNS)
        if model is not None:
            self._adopt(model)
        if base_model is not None:
            self.base_model = _source(base_model).model

    def analyze(
        self,
        *args: Any,
        quality: bool = True,
        seed: int = 0,
        engine: str = "fast",
        n_jobs: int = 1,
        progress: bool | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """Analyse the model; takes every argument of weightwatcher's `analyze` and these.

        Parameters
        ----------
        *args, **kwargs
            weightwatcher's arguments, in its order or by name: `model`, `layers`, `randomize`, `mp_fit`, ...
            Its limits `min_evals`, `max_evals` and `max_N` bind us only where they are given: by default a
            layer beyond weightwatcher's own limits still gets a row, after weightwatcher's.
        quality : bool
            Reserved for the quality columns, which this version does not compute.
        seed : int
            Seed of weightwatcher's shuffles (`randomize=True`); the host's generators are left as they were.
        engine : {"fast", "reference"}
            `fast` computes spectra from float64 Gram matrices and prunes the power-law scan, equal to 1e-9;
            `reference` leaves weightwatcher's numerics alone.
        n_jobs : int
            1: this version works in one process.
        progress : bool, optional
            A progress bar over the tensors; by default only on a terminal.

        Returns
        -------
        pandas.DataFrame
            As `setol_ww.analyze`.

        Raises
        ------
        InvalidInput
            Unknown or contradictory options, or a model without weights.
        """
        one_of("engine", engine, ENGINES)
        one_of("n_jobs", n_jobs, (1,))
        one_of("quality", quality, (True, False))
        options = self._options(args, kwargs)
        given, base_model = options.pop("model", None), options.pop("base_model", None)
        if given is not None:
            self._adopt(given)
        if base_model is not None:
            self.base_model = _source(base_model).model
        if self._source is None:
            raise InvalidInput(_asked(None))
        self._check(options)
        run = _Run(
            entries=self._source.entries,
            engine=engine,
            detX=bool(options.get("detX") or options.get("ERG")),
            limits={name: options[name] for name in LIMITS if name in options},
            layers=options.get("layers", []),
            progress=progress,
        )
        self._run = run
        try:
            with quiet(seed):
                details = super().analyze(**options)
        finally:
            self._run = None
        with quiet():
            self.details = self._finish(details, run)
        return self.details

    def get_summary(self, details: pd.DataFrame | None = None) -> dict[str, float]:
        """Means over layers: weightwatcher's keys and ours.

        A fit that failed or has fewer than 8 eigenvalues enters no mean of fits, and nothing that is not
        finite enters any; weightwatcher averages its -1 for a failed fit.
        """
        details = self.details if details is None else details
        if details is None or not len(details):
            return {}
        enough = details["num_evals"] >= SOUND_MIN_EVALS if "num_evals" in details else True
        fitted = enough & (details["status"] == "success") if "status" in details else enough
        summary = {}
        for name in (*SUMMARY, *SUMMARY_OURS):
            if name not in details:
                continue
            values = details[name].where(fitted if name in SUMMARY_OF_FITS else enough).astype(float)
            summary[name] = float(values.where(np.isfinite(values)).mean())
        return summary

    def describe(self, model: Any = None, *args: Any, **kwargs: Any) -> pd.DataFrame:
        """weightwatcher's own table of layers and sizes, without analysing them."""
        if model is not None:
            self._adopt(model)
        with quiet():
            return super().describe(None, *args, **kwargs)

    # What weightwatcher calls while it walks the layers.

    def make_layer_iterator(
        self, model: Any = None, layers: Any = (), params: Any = None, base_model: Any = None
    ) -> Iterator[Any]:
        """weightwatcher's layers in its order, each readable, then the rest; its own iterator outside `analyze`."""
        iterator = super().make_layer_iterator(model=model, layers=layers, params=params, base_model=base_model)
        if self._run is None:
            return iterator
        return self._walk(iterator, params, self._run)

    def apply_normalize_Wmats(self, ww_layer: Any, params: Any = None) -> Any:
        """Scale a convolution by weightwatcher's factor, ours included, and copy nothing that is not scaled."""
        record = self._record(ww_layer)
        if record is None or (self._engine() == "reference" and record.origin == "weightwatcher"):
            return super().apply_normalize_Wmats(ww_layer, params)
        if params["conv2d_norm"] and (record.is_kernel or ww_layer.the_type is LAYER_TYPE.CONV2D):
            ww_layer.w_norm = np.sqrt(ww_layer.conv2d_count / 2.0)
            ww_layer.Wmats = [matrix * ww_layer.w_norm for matrix in ww_layer.Wmats]
        return ww_layer

    def apply_esd(self, ww_layer: Any, params: Any = None) -> Any:
        """The spectrum; a layer without one keeps `evals = None` and its reason, and the walk goes on."""
        record = self._record(ww_layer)
        if record is None:
            return super().apply_esd(ww_layer, params)
        record.failure = record.failure or _bad_entries(record.longname, ww_layer.Wmats)
        if not record.failure:
            try:
                return super().apply_esd(ww_layer, params)
            except (np.linalg.LinAlgError, ValueError, MemoryError) as error:
                record.failure = f"layer {record.longname}: no spectrum, {type(error).__name__}: {error}"
        logger.info("%s", record.failure)
        ww_layer.evals = None
        return ww_layer

    def apply_random_esd(self, ww_layer: Any, params: Any = None) -> Any:
        """weightwatcher's randomised spectrum; a solver that fails on it costs these columns only."""
        try:
            return super().apply_random_esd(ww_layer, params)
        except (np.linalg.LinAlgError, ValueError) as error:
            if self._record(ww_layer) is None:
                raise
            logger.info("layer %s: no randomised spectrum, %s", ww_layer.longname, error)
            return ww_layer

    def combined_eigenvalues(self, Wmats: Any, N: int, M: int, n_comp: int, params: Any = None) -> Any:
        """Pooled eigenvalues as weightwatcher returns them, from float64 Gram matrices."""
        # With vectors=True weightwatcher compares eigenvalues of its own with xmin: they must be the same numbers.
        special = params is None or any(params[mode] for mode in ("intra", "inverse", "peft", "vectors"))
        if special or n_comp < M or self._engine() != "fast":
            return super().combined_eigenvalues(Wmats, N, M, n_comp, params)
        pooled, largest, smallest, rank_loss = [], 0.0, 0.0, 0
        for matrix in Wmats if isinstance(Wmats, list) else [Wmats]:
            values = eigenvalues(matrix)[-n_comp:]
            singular = np.sqrt(values)
            pooled.append(values)
            largest, smallest = max(largest, singular[-1]), max(smallest, singular[0])
            rank_loss += _rooms.calc_rank_loss(singular, N)
        return np.sort(np.concatenate(pooled)), np.float64(largest), np.float64(smallest), rank_loss

    def random_eigenvalues(self, Wmats: Any, n_comp: int, num_replicas: int = 1, params: Any = None) -> Any:
        """Eigenvalues of element-wise shuffles, drawn as weightwatcher draws them."""
        if params is None or params["intra"] or params["inverse"] or self._engine() != "fast":
            return super().random_eigenvalues(Wmats, n_comp, num_replicas, params)
        pooled = []
        for _ in range(num_replicas):
            for matrix in Wmats:
                shuffled = matrix.flatten()
                np.random.shuffle(shuffled)  # noqa: NPY002 weightwatcher's own draw; quiet() seeds and restores it
                pooled.append(eigenvalues(shuffled.reshape(matrix.shape))[-n_comp:])
        return np.sort(np.concatenate(pooled))

    def fit_powerlaw(self, evals: Any, *args: Any, **kwargs: Any) -> Any:
        """weightwatcher's default fit by the pruned scan; every other fit is weightwatcher's own."""
        fit = _default_fit(evals, args, kwargs) if self._engine() == "fast" else None
        return super().fit_powerlaw(evals, *args, **kwargs) if fit is None else fit

    def apply_norm_metrics(self, ww_layer: Any, params: Any = None) -> Any:
        """weightwatcher's last step for a layer, and ours: everything SETOL says of the same eigenvalues."""
        ww_layer = super().apply_norm_metrics(ww_layer, params)
        record = self._record(ww_layer)
        if record is not None:
            record.result = analyze_spectrum(_spectrum(ww_layer, record.precision))
        return ww_layer

    # How a run is prepared, walked and finished.

    def _engine(self) -> str:
        return self._run.engine if self._run else "reference"

    def _record(self, ww_layer: Any) -> _Record | None:
        return self._run.record_of(ww_layer) if self._run else None

    def _adopt(self, model: Any) -> None:
        self._source = _source(model)
        self.model, self.framework = self._source.model, None
        with quiet():
            self.set_model_(None)
            self.load_framework_imports(self.framework)

    def _options(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """weightwatcher's arguments by name."""
        accepted = [name for name in UPSTREAM_SIGNATURE.parameters if name != "self"]
        unknown = sorted(set(kwargs) - set(accepted))
        if unknown:
            raise InvalidInput(f"the option(s) {unknown} were asked; accepted are {sorted([*accepted, *OURS])}")
        try:
            bound = UPSTREAM_SIGNATURE.bind(self, *args, **kwargs)
        except TypeError as error:
            raise InvalidInput(f"the arguments do not fit ({error}); accepted are, in this order, {accepted}") from None
        return {name: value for name, value in bound.arguments.items() if name != "self"}

    def _check(self, options: dict[str, Any]) -> None:
        """What weightwatcher would refuse with a bare Exception is refused here, with its own words."""
        params = {**DEFAULT_PARAMS, "randomize": False, "vectors": False, "savefig": "ww-img", "fix_fingers": False}
        params.update({PARAMETER_OF.get(name, name): value for name, value in options.items()})
        heard = _Listener()
        upstream = logging.getLogger("weightwatcher")
        level, propagate = upstream.level, upstream.propagate
        upstream.addHandler(heard)
        upstream.setLevel(logging.WARNING)
        upstream.propagate = False
        try:
            valid = _upstream.WeightWatcher.valid_params(params)
        except TypeError as error:
            heard.said.append(str(error))
            valid = False
        finally:
            upstream.removeHandler(heard)
            upstream.setLevel(level)
            upstream.propagate = propagate
        if not valid:
            asked = {name: value for name, value in options.items() if name != "model"}
            raise InvalidInput(f"the options {asked} were asked; weightwatcher refuses them: {'; '.join(heard.said)}")

    def _walk(self, iterator: Any, params: Any, run: _Run) -> Iterator[Any]:
        """Every layer once, recorded before weightwatcher works on it."""
        from tqdm import tqdm

        assert self._source is not None
        whole = not any(params[mode] for mode in ("stacked", "intra", "peft")) and self.base_model is None
        total = sum(entry.is_candidate for entry in run.entries)
        disable = None if run.progress is None else not run.progress
        with tqdm(total=total, desc="layers", disable=disable, file=sys.stderr) as bar:
            if whole and not self._source.is_foreign:
                walk = self._module_layers if self._source.is_module else self._mapping_layers
                iterator.model_iter = walk(params, run)
            for ww_layer in iterator:
                run.records.append(_Record(ww_layer, ww_layer.longname, "weightwatcher"))
                if whole:
                    self._cover(ww_layer, run)
                yield ww_layer
                bar.update()
            if not self._source.is_foreign:
                for ww_layer in self._rest(iterator, params, run, whole):
                    yield ww_layer
                    bar.update()

    def _module_layers(self, params: Any, run: _Run) -> Iterator[Any]:
        """weightwatcher's view of a torch module: the layers it can read, each weight once, no module touched."""
        assert self._source is not None
        fit = {(entry.owner_index, entry.name): entry for entry in run.entries if not entry.unfit and not entry.same_as}
        for index, (prefix, module) in enumerate(self._source.model.named_modules()):
            if (index, f"{prefix}.weight" if prefix else "weight") not in fit:
                continue
            layer = _rooms.PyTorchLayer(module, index + (params[START_IDS] or 0), longname=prefix)
            dimensions = 4 if layer.the_type == LAYER_TYPE.CONV2D else 2
            if module.weight.dim() == dimensions and layer.the_type not in (LAYER_TYPE.NORM, LAYER_TYPE.UNKNOWN):
                yield layer

    def _mapping_layers(self, params: Any, run: _Run) -> Iterator[Any]:
        """weightwatcher's view of a state dict: 2-D and 4-D tensors named `*.weight`, numbered as it numbers them."""
        assert self._source is not None
        for entry, layer_id in _mapping_ids(run.entries, params):
            readable = not entry.unfit and not entry.same_as and len(entry.shape) in (2, 4) and entry.shape[0] > 1
            if not readable or not entry.name.endswith(".weight"):
                continue
            try:
                yield _rooms.PyStateDictLayer(self._source.model, layer_id, entry.name.removesuffix(".weight"))
            except (UnreadableCheckpoint, MemoryError) as error:
                run.status[entry.name] = ("failed", f"layer {entry.name}: {error}")

    def _cover(self, ww_layer: Any, run: _Run) -> None:
        """Note which tensor a weightwatcher layer stands for."""
        assert self._source is not None
        if self._source.is_module:
            module = ww_layer.framework_layer.layer
            names = [prefix for prefix, other in self._source.model.named_modules() if other is module]
            name = f"{names[0]}.weight" if names and names[0] else "weight"
        else:
            name = f"{ww_layer.longname}.weight"
        run.status[name] = ("analyzed", "")

    def _rest(self, iterator: Any, params: Any, run: _Run, whole: bool) -> Iterator[Any]:
        """Rows for what weightwatcher passed over, or the reason why there is none."""
        shapes = {entry.name: entry.shape for entry in run.entries}
        for entry, layer_id in _ids(self._source, params):
            if not entry.is_candidate or entry.same_as:
                continue
            if entry.unfit:
                run.status[entry.name] = ("skipped", entry.unfit)
                continue
            if not whole:
                run.status[entry.name] = ("skipped", "this mode analyses weightwatcher's own layers only")
                continue
            covered = run.status.get(entry.name, ("", ""))[0] == "analyzed"
            fused, why_not = fused_parts(entry.name, entry.shape, entry.owner)
            if covered and why_not:
                run.status[entry.name] = ("analyzed", why_not)
            wanted = fused
            if not covered and not (fused and entry.name.endswith("in_proj_weight")):
                hidden = shapes.get(hidden_name(entry.name))
                wanted = parts(entry.name, entry.shape, entry.owner, hidden) + fused
            for part in wanted:
                yield from self._part_layer(iterator, entry, layer_id, part, params, run)

    def _part_layer(
        self, iterator: Any, entry: Entry, layer_id: int, part: Part, params: Any, run: _Run
    ) -> Iterator[Any]:
        """One weightwatcher layer for one part of a tensor, unless a filter or a limit leaves it out."""
        longname = entry.name.removesuffix(".weight")
        stub = _rooms.FrameworkLayer(
            None, layer_id, longname.rsplit(".", 1)[-1], longname, the_type=part.layer_type, framework=self.framework
        )
        layer = _rooms.WWLayer(stub, layer_id=layer_id, make_weights=False, params=params)
        why = _limited(part, run.limits)
        if iterator.apply_filters(layer):
            why = f"not among layers={run.layers!r}"
        if why:
            run.status.setdefault(entry.name, ("skipped", why))
            return
        record = _Record(layer, longname, "setol_ww", part.label, part.kind == "kernel")
        try:
            tensor = to_numpy(entry.load())
            layer.Wmats = [np.asarray(matrix) for matrix in part.matrices(tensor)]
            record.precision = Spectrum.from_eigenvalues([]).eps if tensor.dtype == np.float64 else EPS_FLOAT32
        except (UnreadableCheckpoint, MemoryError, RuntimeError) as error:
            record.failure = f"layer {entry.name}: not loaded, {error}"
        layer.has_weights = True
        layer.N, layer.M, layer.rf = max(part.rows, part.columns), min(part.rows, part.columns), part.count
        layer.num_components = part.num_evals
        run.status[entry.name] = ("analyzed", run.status.get(entry.name, ("", ""))[1])
        run.records.append(record)
        yield layer

    def _finish(self, details: pd.DataFrame, run: _Run) -> pd.DataFrame:
        """weightwatcher's table with our columns behind it, and the coverage."""
        rows = [_our_row(record, run.detX) for record in run.records]
        theirs = details.reset_index(drop=True)
        if len(theirs):
            lead = [name for name in ("layer_id", "name") if name in theirs]
            theirs = theirs[lead + sorted(name for name in theirs if name not in lead)]
        ours = pd.DataFrame(rows, columns=["slice", "row_origin", "reason", *table.names(run.detX)])
        frame = pd.concat([theirs, ours], axis=1)
        for position, record in enumerate(run.records):
            if record.failure:
                frame.loc[position, "status"] = "failed"
            elif record.origin == "setol_ww":
                _unmark(frame, position)
        self.coverage = _coverage(run)
        frame.attrs["coverage"] = self.coverage.to_dict("records")
        return frame


class _Listener(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage().strip())


def _ids(source: _Source | None, params: Any) -> list[tuple[Entry, int]]:
    """Entries with the layer id weightwatcher would give: the module's, or the position in the state dict."""
    assert source is not None
    if source.is_module:
        start = params[START_IDS] or 0
        return [(entry, entry.owner_index + start) for entry in source.entries]
    return _mapping_ids(source.entries, params)


def _mapping_ids(entries: list[Entry], params: Any) -> list[tuple[Entry, int]]:
    """`*.weight` counted from 1 as weightwatcher counts, everything else behind."""
    start = params[START_IDS] or 1
    weights = [entry for entry in entries if entry.name.endswith(".weight")]
    others = [entry for entry in entries if not entry.name.endswith(".weight")]
    numbers = {entry.name: start + position for position, entry in enumerate([*weights, *others])}
    return [(entry, numbers[entry.name]) for entry in entries]


def _limited(part: Part, limits: dict[str, int]) -> str:
    """Why a limit that the user gave leaves a part out."""
    n, N = part.num_evals, max(part.rows, part.columns)
    if limits.get("min_evals") and n < limits["min_evals"]:
        return f"{n} eigenvalues, fewer than min_evals={limits['min_evals']}"
    if limits.get("max_evals") and n > limits["max_evals"]:
        return f"{n} eigenvalues, more than max_evals={limits['max_evals']}"
    if limits.get("max_N") and N > limits["max_N"]:
        return f"N = {N}, more than max_N={limits['max_N']}"
    return ""


def _bad_entries(longname: str, matrices: list[np.ndarray]) -> str:
    """A sentence when an entry is NaN or infinite, else empty."""
    if all(np.isfinite(np.sum(matrix, dtype=np.float64)) for matrix in matrices):
        return ""
    nan = sum(int(np.isnan(matrix).sum()) for matrix in matrices)
    infinite = sum(int(np.isinf(matrix).sum()) for matrix in matrices)
    size = sum(matrix.size for matrix in matrices)
    return f"layer {longname}: {nan} NaN and {infinite} Inf among its {size} entries" if nan or infinite else ""


def _spectrum(ww_layer: Any, eps: float) -> Spectrum:
    """The eigenvalues weightwatcher has computed, with the shape of the matrices they came from."""
    rows, columns = ww_layer.Wmats[0].shape
    evals, count = ww_layer.evals, len(ww_layer.Wmats)
    if min(rows, columns) * count != len(evals):
        return Spectrum.from_eigenvalues(evals, eps=eps)
    return Spectrum.from_eigenvalues(evals, (rows, columns), slices=count, eps=eps)


def _default_fit(evals: np.ndarray, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
    """What weightwatcher's default power-law fit returns, or None where it takes another way."""
    plain = {
        "xmin": (None, -1),
        "xmax": (None, False),
        "plot": (False,),
        "fix_fingers": (None, False),
        "fit_type": ("power_law",),
        "pl_package": ("ww",),
        "sample": (False,),
    }
    if args or any(kwargs.get(name, accepted[0]) not in accepted for name, accepted in plain.items()):
        return None
    kept = evals[evals > WW_THRESHOLD]
    if kept.size < WW_FIT_MIN:
        return None
    log_x = np.log(kept)
    # Equal neighbours enter weightwatcher's scan one by one and divide by zero at the top: left to weightwatcher.
    if np.min(np.diff(log_x)) <= 1e-13:
        return None
    starts = np.arange(kept.size - 1)
    start = best_start(log_x, starts)
    n = kept.size - start
    rate = n / (log_x[start:].sum() - n * log_x[start])
    law = 1 - (kept[start:] / kept[start]) ** -rate
    distance = np.max(np.abs(law - np.arange(float(n)) / n))
    spikes = int(np.count_nonzero(evals >= kept[start]))
    alpha = 1 + rate
    warning = "over-trained" if alpha < 2 else "under-trained" if alpha > 6 else ""
    return alpha, -1, kept[start], kept[-1], distance, rate / np.sqrt(n), spikes, 0, -1, "success", warning


def _our_row(record: _Record, detX: bool) -> dict[str, Any]:
    """Identity and our columns of one row; NaN in all but the reason for a failed layer."""
    identity = {"slice": record.label, "row_origin": record.origin, "reason": record.failure}
    if record.result is None:
        return identity
    detX_num = getattr(record.ww_layer, "detX_num", None)
    return {**identity, **table.row(record.result, detX=detX, detX_num=detX_num)}


def _unmark(frame: pd.DataFrame, position: int) -> None:
    """In a row of our own, NaN where weightwatcher writes -1 for a fit that failed, and what it derives from it."""
    if frame.loc[position, "status"] != "failed":
        return
    frame.loc[position, [name for name in (*SENTINELS, "alpha_weighted", "log_alpha_norm")]] = np.nan


def _coverage(run: _Run) -> pd.DataFrame:
    """What became of every tensor of two or more dimensions."""
    failed = {}
    for record in run.records:
        if record.failure:
            failed[record.longname] = record.failure
    rows = []
    for entry in run.entries:
        if not entry.is_candidate or entry.effective:
            continue
        leader = entry.same_as or entry.name
        status, reason = run.status.get(leader, ("skipped", "weightwatcher does not iterate over it"))
        failure = failed.get(leader.removesuffix(".weight"), "")
        if failure:
            status, reason = "failed", failure
        if entry.same_as and status == "analyzed":
            factor = any(other.name == leader and other.effective for other in run.entries)
            reason = f"a factor of {leader}, analysed there" if factor else f"tied to {leader}, analysed there"
            status = "analyzed" if factor else "skipped"
        rows.append((entry.name, entry.shape, entry.dtype, entry.n_params, status, reason))
    return pd.DataFrame(rows, columns=COVERAGE_COLUMNS)
