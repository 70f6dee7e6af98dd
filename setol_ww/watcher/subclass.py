"""The subclass: which of weightwatcher's methods are overridden, and `analyze`."""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.arrays import FloatArray
from ..core.boundary import attempt
from ..core.checks import one_of, seed_of
from ..core.errors import InvalidInput
from ..core.options import Options, layouts_of
from ..linalg.device import check_device
from ..linalg.eigenvalues import eigenvalues, scaled_eigenvalues_of
from ..linalg.scaled import is_moderate
from ..linalg.shuffles import shuffle
from ..results.findings import coverage_table
from ..results.record import settings_of
from ..results.results import Results, table_with_coverage
from ..scanning.pools import number_of_jobs
from ..spectrum.esd import Spectrum
from ..spectrum.strengths import Strengths, strengths_of
from ..spectrum.windows import fit_submatrices
from ..traps.find import TrapReport, find_traps_of
from ..traps.search import tall_entries
from ..weights.plan import Job, plan
from ..weights.selector import Selector
from .base import Base
from .combined import mode_of
from .distances import METHODS, distances_of
from .model import Given, adapt, asked
from .mp import mp_columns
from .numerics import all_finite, bad_entries, default_fit, detX_columns, norm_columns, pooled_eigenvalues
from .questions import Rows
from .records import Record, Run
from .shares import Turns, copies_for, worked_off
from .standins import drawing_from, figures
from .threads import Ahead
from .together import Small, Together
from .upstream import (
    DEFAULT_PARAMS,
    DELTA_ES,
    DESCRIBE,
    LAYER_TYPE,
    arguments_by_name,
    package,
    parameters,
    refuse_broken,
    rooms,
)
from .walk import Walk

logger = logging.getLogger(__name__)

ENGINES = ("fast", "reference")
LIMITS = ("min_evals", "max_evals", "max_N")
SUMMARY_OF_FITS = ("alpha", "alpha_weighted", "log_alpha_norm")
SUMMARY = ("log_norm", "alpha", "alpha_weighted", "log_alpha_norm", "log_spectral_norm", "stable_rank", "mp_softrank")
SUMMARY_OURS = ("tail_alpha", "erg_fraction", "delta_lambda_min", "erg_metric", "alpha_erg")
# A product over layers by its definition, log prod Q = sum log Q: the mean is geometric.
SUMMARY_GEOMETRIC = ("q2", "q2_norm", "q2_series5", "q2_paper", "q2_bs", "q2_fc", "q2_imp", "q2_lw")
SOUND_MIN_EVALS = 8
# Modes in which eigenvalues are not those of W^T W, or are compared with eigenvalues of weightwatcher's own.
OTHER_SPECTRA = ("intra", "inverse", "peft", "vectors", "conv2d_fft", "fft")
# Modes in which weightwatcher's own code reads the weights as numpy arrays.
READS_WEIGHTS = (*OTHER_SPECTRA, "plot", "deltaEs", "glorot_fit")


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
        `attrs["coverage"]` lists what became of every tensor, as `WeightWatcher.coverage` does in a table.

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


def examine(source: Any, detX: bool = True, **options: Any) -> Results:
    """What `analyze` does, with the spectra kept: every later question without the weights.

    Parameters
    ----------
    source, detX, **options
        As for `setol_ww.analyze`.

    Returns
    -------
    Results
        `.table()` is the table of `analyze`; `.save("NAME.setol")` keeps it in a few megabytes.

    Raises
    ------
    InvalidInput, UnreadableCheckpoint
        As `analyze`.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> results = ww.examine(np.random.default_rng(0).normal(size=(60, 40)))
    >>> results.layers, results.table(quality=False)["erg_rank"].tolist()
    ([('matrix', '')], [31])
    """
    watcher = WeightWatcher()
    watcher.analyze(source, detX=detX, **options)
    assert watcher.results is not None
    return watcher.results


class WeightWatcher(rooms.WeightWatcher, package.WeightWatcher):
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
    results : Results
        The spectra of the last analysis: other settings and new columns without the weights.
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
        super().__init__(None, framework)
        if log_level:
            logging.getLogger("weightwatcher").setLevel(log_level)
        self.results: Results | None = None
        self._given: Given | None = None
        self._run: Run | None = None
        if model is not None:
            self._adopt(model)
        self._layouts: dict[str, str] = {}
        self._own_base_model = base_model
        self._base: Given | None = None
        self.base_model = None if base_model is None else adapt(base_model).model

    def __getstate__(self) -> dict[str, Any]:
        """Everything but open readers: what the user gave, which is looked at anew when it is asked."""
        state = {**self.__dict__, "_given": None, "_run": None, "_base": None, "base_model": self._own_base_model}
        if self._given is not None and self.model is self._given.model:
            state["model"] = self._given.source
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # A path is looked at when something is asked of it.
        if self.model is not None and not isinstance(self.model, (str, Path)):
            self._adopt(self.model)

    @property
    def coverage(self) -> pd.DataFrame:
        """What became of every tensor of two or more dimensions in the last analysis."""
        return coverage_table([] if self.details is None else self.details.attrs.get("coverage", []))

    def analyze(
        self,
        *args: Any,
        quality: bool = True,
        seed: int = 0,
        engine: str = "fast",
        n_jobs: int = 1,
        progress: bool | None = None,
        device: str = "cpu",
        farms: bool = False,
        uncertainty: int = 0,
        layouts: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """Analyse the model; takes every argument of weightwatcher's `analyze` and these.

        Parameters
        ----------
        *args, **kwargs
            weightwatcher's arguments, in its order or by name: `model`, `layers`, `randomize`, `mp_fit`, ...
            One default is ours: `detX=True`, which adds the ERG and class columns (and weightwatcher's own detX
            columns) without being asked; `detX=False` leaves both out.
            Its limits `min_evals`, `max_evals` and `max_N` bind us only where they are given: by default a
            layer beyond weightwatcher's own limits still gets a row, after weightwatcher's.
        quality : bool
            The quality columns `q2*` and `kappa1` to `kappa5` (`setol_ww.quality`).
        seed : int
            Seed of the shuffle of `randomize=True`, one for the columns of the random matrix and the `trap_*`
            columns; with `engine="reference"` weightwatcher's own draws too. The host's generators are left as they
            were.
        engine : {"fast", "reference"}
            `fast` computes spectra from float64 Gram matrices and prunes the power-law scan, equal to 1e-9;
            `reference` leaves weightwatcher's numerics alone.
        n_jobs : int
            Threads that decompose, or on Linux, where small layers are most of the work, copies of this process that
            share its memory; -1 for every core. Nothing depends on it but time and memory: a Gram matrix each,
            with `randomize` a shuffled layer each too, of a checkpoint on disk one more tensor.
            BLAS with threads of its own does one decomposition at a time: set `OMP_NUM_THREADS=1` to gain from
            more jobs. `setol_ww.scan` spreads a checkpoint over processes or machines.
        progress : bool, optional
            A progress bar over the tensors; by default only on a terminal.
        device : str
            `cpu`, or `cuda` (`cuda:N`) where torch sees a GPU: Gram matrices and eigenvalues in float64 there,
            equal to 1e-9; needs `engine="fast"`.
        farms : bool
            Add `farms_*`: the exponent of square windows of each matrix, one aspect ratio whatever its shape, with
            an uncertainty (`setol_ww.fit_submatrices`). The other columns stay those of the whole matrix.
        uncertainty : int
            Number of resamplings of each spectrum for the errors of its numbers; 0 leaves them out.
        layouts : mapping of str to str, optional
            What is in a tensor, by its name or a pattern: `{"*.qkv_proj.weight": "qkv:64,32,32", "*.table": "skip"}`;
            docs/layouts.md has the words.

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
        number = number_of_jobs(n_jobs)
        if check_device(device) != "cpu" and engine != "fast":
            raise InvalidInput(f"device={device!r} with engine={engine!r} was asked; accepted is engine='fast' with it")
        options = arguments_by_name(self, args, kwargs)
        asked_layers = options.pop("layers", None)
        told = Options(
            layers=Selector.of(asked_layers).asked,
            randomize=options.get("randomize", False),
            seed=seed,
            detX=options.get("detX", True),
            quality=quality,
            uncertainty=uncertainty,
            farms=farms,
            device=device,
            n_jobs=n_jobs,
            layouts=layouts_of(layouts),
            progress=progress,
        )
        worker = self._prepared(options.get("model"), options.get("base_model"))
        if worker._base is not None and mode_of(options):
            raise InvalidInput(
                f"base_model with {mode_of(options)}=True was asked; weightwatcher 0.7.7 leaves one of them out. "
                "Accepted is one at a time"
            )
        jobs, upstream_layers = worker._planned(asked_layers, options, told.layouts)
        params = parameters({**options, "layers": upstream_layers} if upstream_layers else options)
        told = told.changed(detX=bool(params["detX"]))
        # What methods of a subclass keep for themselves would be lost with a copy.
        is_plain = type(self) is WeightWatcher and engine == "fast" and device == "cpu"
        is_plain = is_plain and not worker._reads_weights(params)
        copies = copies_for(number, jobs, worker._given) if is_plain else 1
        # While a GPU decomposes the next layers, the walk fits this one.
        threads = 1 if copies > 1 else number if device == "cpu" else max(2, number)
        with Ahead(threads) as ahead:
            worker._run = Run(
                entries=worker._given.entries,
                engine=engine,
                device=device,
                detX=params["detX"],
                settings=settings_of(told),
                limits={name: options[name] for name in LIMITS if name in options},
                jobs=jobs,
                layers=upstream_layers,
                progress=progress,
                randomize=params["randomize"],
                seed=told.seed,
                farms=farms,
                mode=mode_of(options),
                ahead=ahead,
            )
            # Whatever is set in this context (numpy's error state, the generator) is gone with it, interrupted or not.
            results = contextvars.copy_context().run(worker._carry_out, params, told, copies)
        details = table_with_coverage(results)
        # At once: an interrupt or another thread's analysis never leaves parts of two.
        self.__dict__.update(results=results, details=details, _layouts=told.layouts)
        return details

    def _prepared(self, model: Any = None, base_model: Any = None) -> Any:
        """A watcher for one call, on the model as it is now: two threads may ask one watcher at a time."""
        worker, known = WeightWatcher.__new__(type(self)), self._given
        worker.__dict__.update(self.__dict__)
        if model is not None:
            worker._adopt(model)
            self._take_over(worker)
        elif known is None and self.model is None:
            raise InvalidInput(asked(None))
        else:
            # Weights or modules may have been replaced since it was looked at, and `model` itself.
            worker._adopt(known.source if known is not None and self.model is known.model else self.model)
        # A base model given here is for this call alone.
        base = self._own_base_model if base_model is None else base_model
        worker._base = None if base is None else adapt(base)
        worker.base_model = None if worker._base is None else worker._base.model
        return worker

    def _planned(self, layers: Any, options: dict[str, Any], layouts: Mapping[str, str]) -> tuple[list[Job], Any]:
        """The jobs, and what weightwatcher is to be told of `layers`: where it combines layers it chooses itself."""
        assert self._given is not None
        if self._combines(options) or self._given.is_foreign:
            if layouts:
                raise InvalidInput(f"layouts={dict(layouts)!r} was asked where weightwatcher combines layers by itself")
            return [], [] if layers is None else layers
        given, start = self._given, options.get("start_ids")
        return plan(given.entries, layers, layouts, config=given.config, start_ids=start), []

    def _combines(self, params: dict[str, Any]) -> bool:
        """True in modes that combine layers, where weightwatcher's walk stays as it is."""
        return bool(mode_of(params))

    def _carry_out(self, params: dict[str, Any], told: Options, copies: int) -> Results:
        run, given = self._run, self._given
        assert run is not None
        assert given is not None
        with np.errstate(all="ignore"), drawing_from(run.generator):
            try:
                if copies > 1:
                    worked_off(functools.partial(self._walk, params), run, copies)
                else:
                    self._walk(params)
            finally:
                figures.clf()
            about = {"source": given.described}
            if given.fingerprint:
                about["weights"] = given.fingerprint
            if self._base is not None:
                about["base"] = self._base.described
            return run.results(told, about)

    def _walk(self, params: dict[str, Any], turns: Turns | None = None) -> None:
        """Take the layers whose turn it is through every step; all of them without turns."""
        run, given = self._run, self._given
        assert run is not None
        assert given is not None
        foreign = self.base_model if given.is_foreign else None
        iterator = self.make_layer_iterator(self.model, run.layers, params, foreign)
        base = None if self._base is None else Base(self._base)
        as_stored = self._as_stored(params)
        walk = Walk(iterator, given, params, run, self._combines(params), as_stored, base=base, turns=turns)
        walk.through(lambda ww_layer: self._steps(ww_layer, params), lambda records: self._begin(records, params))

    def get_summary(self, details: pd.DataFrame | None = None) -> dict[str, float]:
        """Means over layers: weightwatcher's keys and ours.

        weightwatcher's keys are means over its own rows; a fit that failed enters no mean of fits, where
        weightwatcher averages its -1, and nothing that is not finite enters any. Ours are means over all rows of at
        least 8 eigenvalues; a key without a value is left out. The means of the quality columns are geometric: the
        quality of a model is a product over its layers (arXiv 2507.17912, Eqs. 7-8; errata E5); a layer outside the
        domain of a reading does not enter its mean.
        """
        details = self.details if details is None else details
        if details is None or not len(details):
            return {}
        # As arrays: what pandas looks up or selects sets warning filters.
        columns = {name: values.to_numpy() for name, values in details.items()}
        every = np.ones(len(details), dtype=bool)
        success = columns["status"] == "success" if "status" in columns else every
        theirs = columns["row_origin"] == "weightwatcher" if "row_origin" in columns else every
        enough = columns["num_evals"] >= SOUND_MIN_EVALS if "num_evals" in columns else every
        found = {}
        for name in SUMMARY:
            if name in columns:
                found[name] = mean_of(columns[name][theirs & success if name in SUMMARY_OF_FITS else theirs])
        for name in SUMMARY_OURS:
            if name in columns:
                found[name] = mean_of(columns[name][enough])
        for name in SUMMARY_GEOMETRIC:
            if name in columns:
                values = columns[name][enough].astype(float)
                with np.errstate(divide="ignore"):
                    found[name] = math.exp(mean_of(np.log(values[values >= 0]), least=-math.inf))
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def describe(
        self, model: Any = None, *args: Any, layouts: Mapping[str, str] | None = None, **kwargs: Any
    ) -> pd.DataFrame:
        """weightwatcher's table of layers and sizes, with every row that `analyze` gives, without analysing them.

        Parameters
        ----------
        model, *args, **kwargs
            weightwatcher's arguments, in its order or by name.
        layouts : mapping of str to str, optional
            As for `analyze`; by default those of the last analysis.
        """
        options = arguments_by_name(self, (model, *args), kwargs, DESCRIBE, ("layouts",))
        worker = self._prepared(options.pop("model"), options.pop("base_model", None))
        if mode_of(options) or worker._given.is_foreign:
            with np.errstate(all="ignore"):
                return super(WeightWatcher, worker).describe(None, **options)
        layers = options.pop("layers", None)
        limits = {name: options[name] for name in LIMITS if name in options}
        rows = Rows(worker._given, parameters(options, DESCRIBE), self._layouts if layouts is None else layouts)
        return rows.sizes(layers, limits)

    def get_ESD(
        self,
        model: Any = None,
        layer: Any = None,
        random: bool = False,
        params: Any = None,
        *,
        slice: str = "",
        seed: int = 0,
    ) -> Any:
        """Eigenvalues of one row of the table, ascending, as weightwatcher gives them.

        Parameters
        ----------
        model : optional
            By default that of the watcher.
        layer : int or str, optional
            Its id, or a name: `longname`, `name`, with the slice (`"attn.qkv [q]"`), or the tensor's; a pair of name
            and slice too (`Results.layers`). By default the first layer.
        random : bool
            Those of shuffled matrices.
        params : dict, optional
            weightwatcher's parameters.
        slice : str
            Which part of the layer.
        seed : int
            Seed of the shuffle.

        Raises
        ------
        InvalidInput
            There is no such layer, several rows are meant, or its entries are not finite; the text says which.

        Notes
        -----
        As in weightwatcher a convolution is not scaled here (`analyze` halves its eigenvalues).

        Examples
        --------
        >>> import numpy as np
        >>> WeightWatcher({"fc.weight": np.diag([3.0, 2.0])}).get_ESD(layer="fc").round(9).tolist()
        [4.0, 9.0]
        """
        asked_of = self._asked_of(model, layer, slice, params)
        if asked_of is None:
            return super().get_ESD(None, layer, random, params)
        worker, ww_layer, told = asked_of
        bad = bad_entries(ww_layer.Wmats)
        if bad:
            raise InvalidInput(f"the eigenvalues of layer {ww_layer.longname!r} were asked; it has {bad}")
        with np.errstate(all="ignore"), drawing_from(np.random.RandomState(seed_of(seed))):
            if random:
                return worker.apply_random_esd(ww_layer, told).rand_evals
            return worker.apply_esd(ww_layer, told).evals

    def get_Weights(self, model: Any = None, layer: Any = None, params: Any = None, *, slice: str = "") -> Any:
        """The matrices of one row of the table, a list of arrays as weightwatcher gives them.

        Parameters
        ----------
        model, layer, params, slice
            As for `get_ESD`.

        Raises
        ------
        InvalidInput
            There is no such layer, or several rows are meant; the text says which.
        """
        asked_of = self._asked_of(model, layer, slice, params)
        return super().get_Weights(None, layer, params) if asked_of is None else asked_of[1].Wmats

    def get_framework_layer(self, model: Any = None, layer: Any = None, params: Any = None, *, slice: str = "") -> Any:
        """The module of one row of the table; where there are no modules, the name of the layer.

        Parameters
        ----------
        model, layer, params, slice
            As for `get_ESD`.
        """
        asked_of = self._asked_of(model, layer, slice, params)
        if asked_of is None:
            return super().get_framework_layer(None, layer, params)
        worker, ww_layer, _ = asked_of
        found = ww_layer.framework_layer.layer
        if found is not None:
            return found
        modules = dict(worker.model.named_modules()) if worker._given.is_module else {}
        parts = ww_layer.longname.split(".")
        owners = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
        return next((modules[name] for name in owners if name in modules), ww_layer.longname)

    def _asked_of(self, model: Any, layer: Any, part: str, params: Any) -> tuple[Any, Any, Any] | None:
        """A watcher, the layer that is meant and weightwatcher's parameters; None where weightwatcher reads alone."""
        worker = self._prepared(model)
        if worker._given.is_foreign:
            return None
        refuse_broken(params or {})
        told = {**DEFAULT_PARAMS, **(params or {})}
        rows = Rows(worker._given, told, self._layouts)
        return worker, rows.record(rows.job_of(layer, part)).ww_layer, told

    def distances(
        self,
        model_1: Any,
        model_2: Any,
        method: str = "raw",
        layers: Any = None,
        start_ids: int = 0,
        pool: bool = True,
        channels: Any = None,
    ) -> tuple[float, float, pd.DataFrame]:
        """Distances of the layers of two models, paired by name; weightwatcher's numbers where it has the layer.

        Parameters
        ----------
        model_1, model_2
            As for `setol_ww.analyze`, each of its own kind.
        method : {"raw", "euclidean", "cka"}
            Frobenius norm of the difference of the tensors (`raw`) or its mean over their matrices, or the overlap.
        layers, start_ids, pool
            As for `analyze`.
        channels
            Accepted is None.

        Returns
        -------
        (float, float, DataFrame)
            Mean distance of weights and biases, and a row a layer, by `layer_id`; NaN with the reason where the other
            model has no such layer or one of another shape.
        """
        if channels is not None:
            refuse_broken({"channels": channels})
        told = parameters({"start_ids": start_ids, "pool": pool})
        pair = (Rows(adapt(model_1), told), Rows(adapt(model_2), told))
        with np.errstate(all="ignore"):
            return distances_of(*pair, str(one_of("method", str(method).lower(), METHODS)), layers)

    def SVDSmoothing(self, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """weightwatcher's: the model with its small singular values taken away, in place where it can be changed.

        Parameters
        ----------
        model, *args, **kwargs
            weightwatcher's arguments. Of a module or a dict the weights are replaced; of a path a dict is returned.
        """
        return self._smoothed("SVDSmoothing", model, args, kwargs)

    def SVDSharpness(self, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """weightwatcher's: the model without the spikes of its shuffled weights, as `SVDSmoothing` hands it back."""
        return self._smoothed("SVDSharpness", model, args, kwargs)

    def _smoothed(self, name: str, model: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        worker = self._prepared(model)
        worker.base_model = worker._base = None
        worker.model = worker._given.changeable()
        method = getattr(super(WeightWatcher, worker), name)
        with np.errstate(all="ignore"), drawing_from(np.random.RandomState(0)):
            method(None, *args, **kwargs)
        return worker.model

    def set_model_(self, model: Any, base_model: Any = None) -> None:
        """weightwatcher's, but a model that is set stays as it was taken in."""
        if model is not None and model is not self.model:
            super().set_model_(model, base_model)

    # What weightwatcher calls while it walks the layers.

    def _steps(self, ww_layer: Any, params: Any) -> None:
        """What weightwatcher's loop does with a layer, in its order."""
        self.apply_normalize_Wmats(ww_layer, params)
        if params["conv2d_fft"]:
            # Complex ones are cast to float64 later, of which numpy warns.
            ww_layer.Wmats = [np.real(matrix) for matrix in ww_layer.Wmats]
        self.apply_esd(ww_layer, params)
        record = self._record(ww_layer)
        if record is not None and self._run is not None and self._run.farms and ww_layer.Wmats:
            record.farms = fit_submatrices(record.own_matrices()[0], seed=self._run.seed, device=self._run.device)
        if record is not None and not self._has_traps(record, params):
            record.traps = None
        elif record is not None and record.traps is None:
            self._begin_traps(record)
        if ww_layer.evals is None:
            if record is not None and record.traps is not None:
                self._add_traps(record)
            return
        draws_deltas = params[DELTA_ES] and params["plot"]
        self.apply_powerlaw(ww_layer, params)
        if params["mp_fit"]:
            self.apply_mp_fit(ww_layer, random=False, params=params)
        if draws_deltas:
            self.apply_plot_deltaEs(ww_layer, random=False, params=params)
        if params["vectors"]:
            self.apply_analyze_eigenvectors(ww_layer, params=params)
        if params["randomize"]:
            self.apply_random_esd(ww_layer, params)
            self.apply_mp_fit(ww_layer, random=True, params=params)
            if draws_deltas:
                self.apply_plot_deltaEs(ww_layer, random=True, params=params)
        if params["detX"]:
            self.apply_detX(ww_layer, params=params)
        self.apply_norm_metrics(ww_layer, params)

    def apply_normalize_Wmats(self, ww_layer: Any, params: Any = None) -> Any:
        """Scale a convolution by weightwatcher's factor, ours included, and copy nothing that is not scaled.

        Where only our own numerics read the weights, their eigenvalues are scaled instead.
        """
        record = self._record(ww_layer)
        if record is None:
            return super().apply_normalize_Wmats(ww_layer, params)
        is_scaled = self._is_scaled(record, params)
        if self._engine() == "reference" and record.origin == "weightwatcher":
            return super().apply_normalize_Wmats(ww_layer, params)
        if is_scaled:
            ww_layer.w_norm = np.sqrt(ww_layer.conv2d_count / 2.0)
            if not self._as_stored(params):
                ww_layer.Wmats = [matrix * ww_layer.w_norm for matrix in ww_layer.Wmats]
        return ww_layer

    def _is_scaled(self, record: Record, params: Any) -> bool:
        """True where weightwatcher scales the matrices of a layer; the record is told by what."""
        layer = record.ww_layer
        is_scaled = bool(params["conv2d_norm"] and (record.is_kernel or layer.the_type is LAYER_TYPE.CONV2D))
        record.norm = layer.conv2d_count / 2.0 if is_scaled else 1.0
        record.scale = record.norm if self._as_stored(params) else 1.0
        return is_scaled

    def apply_esd(self, ww_layer: Any, params: Any = None) -> Any:
        """The spectrum; a layer without one keeps `evals = None` and its reason, and the walk goes on."""
        record = self._record(ww_layer)
        if record is None:
            return super().apply_esd(ww_layer, params)
        if not record.failure and not (self._as_stored(params) or all_finite(ww_layer.Wmats)):
            record.failure = self._why_undefined(record)
        if not record.failure:
            super().apply_esd(ww_layer, params)
        # A Gram matrix tells by itself that an entry is not finite, or beyond what can be squared.
        if not record.failure and not np.isfinite(ww_layer.evals).all():
            ww_layer.columns = []
            record.failure = self._why_undefined(record) or self._beyond_weightwatcher(record)
        if record.failure:
            logger.info("%s", record.failure)
            ww_layer.evals = None
        return ww_layer

    def _beyond_weightwatcher(self, record: Record) -> str:
        """Why weightwatcher has no spectrum of finite entries, after ours is there."""
        assert self._run is not None
        record.asked = self._own_spectrum(record), self._strengths_of(record)
        return f"layer {record.title}: weightwatcher's columns are NaN, the squares of its entries overflow there"

    def _own_spectrum(self, record: Record) -> Spectrum:
        """Of the values that are stored, at any scale."""
        assert self._run is not None
        matrices, scale = record.own_matrices()
        return Spectrum.from_slices(matrices, device=self._run.device).times(scale)

    def _strengths_of(self, record: Record) -> Strengths:
        return strengths_of(self._entries_of(record))

    def _entries_of(self, record: Record) -> list[Any]:
        """The matrices that are stored, with rows and columns as the model has them."""
        return self._turned(record, record.own_matrices()[0])[0]

    def apply_random_esd(self, ww_layer: Any, params: Any = None) -> Any:
        """weightwatcher's randomised spectrum; a failure costs these columns and the row its status."""
        record = self._record(ww_layer)
        if record is None:
            return super().apply_random_esd(ww_layer, params)
        stage = functools.partial(super().apply_random_esd, ww_layer, params)
        outcome = attempt(record.title, "no randomised spectrum", stage)
        record.failure = record.failure or outcome.reason
        return ww_layer

    def combined_eigenvalues(self, Wmats: Any, N: int, M: int, n_comp: int, params: Any = None) -> Any:
        """Pooled eigenvalues as weightwatcher returns them, from float64 Gram matrices."""
        special = params is None or any(params[mode] for mode in OTHER_SPECTRA)
        if special or n_comp < M or self._run is None or self._engine() != "fast":
            return super().combined_eigenvalues(Wmats, N, M, n_comp, params)
        matrices = Wmats if isinstance(Wmats, list) else [Wmats]
        record = self._run.records[-1]
        begun = (spectrum() for spectrum in record.spectra)
        return pooled_eigenvalues(begun if record.spectra else self._spectra(matrices), N, n_comp, record.scale)

    def random_eigenvalues(self, Wmats: Any, n_comp: int, num_replicas: int = 1, params: Any = None) -> Any:
        """Eigenvalues of element-wise shuffles: the one that was searched for traps, and more where there are few.

        weightwatcher asks twice, below 100 eigenvalues for five replicas the first time, and draws anew each time: what
        is asked again is answered again, the numbers of one replica being as good as another's.
        """
        special = params is None or params["intra"] or params["inverse"] or params["conv2d_fft"]
        if special or self._run is None or self._engine() != "fast":
            return super().random_eigenvalues(Wmats, n_comp, num_replicas, params)
        record = self._run.records[-1]
        for replica in range(len(record.shuffled), num_replicas):
            record.shuffled.append(self._shuffled(record, Wmats, n_comp, replica))
        return np.sort(np.concatenate(record.shuffled[:num_replicas]))

    def _shuffled(self, record: Record, Wmats: list[Any], n_comp: int, replica: int) -> FloatArray:
        """Eigenvalues of one shuffle of every matrix; the first is that of the traps."""
        assert self._run is not None
        found = record.traps().value if record.traps is not None and not replica else None
        if found is not None and found.shuffled.size == n_comp * len(Wmats):
            return found.shuffled
        more = (replica,) if replica else ()
        draws = (shuffle(tall_entries(W)[0], (self._run.seed, place, *more)) for place, W in enumerate(Wmats))
        return np.concatenate([record.scale * spectrum[-n_comp:] for spectrum in self._spectra(draws)])

    def fit_powerlaw(self, evals: Any, *args: Any, **kwargs: Any) -> Any:
        """weightwatcher's default fit by the pruned scan; every other fit is weightwatcher's own."""
        fit = default_fit(evals, args, kwargs, self._known(evals)) if self._engine() == "fast" else None
        return super().fit_powerlaw(evals, *args, **kwargs) if fit is None else fit

    def _known(self, evals: Any) -> Spectrum | None:
        """The spectrum of the layer that is walked, if these are its eigenvalues."""
        record = self._run.records[-1] if self._run is not None and self._run.records else None
        if record is None or record.ww_layer is None or record.ww_layer.evals is not evals:
            return None
        return record.spectrum()

    def mp_fit(self, evals: Any, N: int, M: int, *args: Any, **kwargs: Any) -> Any:
        """weightwatcher's fit of the Marchenko-Pastur law, to the last bit, with one evaluation of the density."""
        asked = inspect.signature(super().mp_fit).bind(evals, N, M, *args, **kwargs).arguments
        if self._engine() != "fast" or asked["plot"]:
            return super().mp_fit(evals, N, M, *args, **kwargs)
        fit = mp_columns(evals, N, M, asked["rescale"])
        # Of a sigma that is not finite weightwatcher tries to draw the law.
        return fit if np.isfinite(fit[1]) else super().mp_fit(evals, N, M, *args, **kwargs)

    def apply_detX(self, ww_layer: Any, params: Any = None) -> Any:
        """weightwatcher's detX columns, its scan started near the crossing."""
        if self._engine() != "fast" or params is None or params["plot"]:
            return super().apply_detX(ww_layer, params)
        for name, value in detX_columns(ww_layer).items():
            ww_layer.add_column(name, value)
        return ww_layer

    def apply_norm_metrics(self, ww_layer: Any, params: Any = None) -> Any:
        """weightwatcher's last step for a layer, and ours: everything SETOL says of the same eigenvalues."""
        if self._engine() == "fast":
            for name, value in norm_columns(ww_layer).items():
                ww_layer.add_column(name, value)
        else:
            ww_layer = super().apply_norm_metrics(ww_layer, params)
        record = self._record(ww_layer)
        if self._run is not None and record is not None:
            spectrum = self._spectrum_of(ww_layer, record, params)
            # The entries belong to the spectrum unless weightwatcher made another one of them.
            own = params is not None and not any(params[mode] for mode in OTHER_SPECTRA)
            fits = own and spectrum.slices == len(ww_layer.Wmats)
            strengths = (record.strengths or functools.partial(self._strengths_of, record))() if fits else None
            record.asked = spectrum, strengths
            if record.traps is not None:
                self._add_traps(record)
        return ww_layer

    def _spectrum_of(self, ww_layer: Any, record: Record, params: Any) -> Spectrum:
        """weightwatcher's eigenvalues; decomposed again where its values are not those stored, or lost in squares."""
        found = record.spectrum()
        whole = params is not None and not any(params[mode] for mode in OTHER_SPECTRA)
        if whole and found.num_evals == len(ww_layer.Wmats) * found.M:
            largest = float(ww_layer.evals[-1])
            if record.is_cut or not is_moderate(largest):
                return self._own_spectrum(record)
        return found

    def _add_traps(self, record: Record) -> None:
        """The traps that were begun; a search that fails costs their columns and the row its status."""
        assert record.traps is not None
        traps = record.traps()
        record.failure = record.failure or traps.reason
        record.report = traps.value

    def _spectra(self, matrices: Iterable[Any]) -> Iterator[FloatArray]:
        assert self._run is not None
        return self._run.ahead.map(self._decompose(), matrices)

    def _decompose(self) -> Callable[[Any], FloatArray]:
        assert self._run is not None
        return functools.partial(eigenvalues, device=self._run.device)

    def _begin(self, records: list[Record], params: Any) -> None:
        """Have the traps and the spectra of layers computed that are to be walked soon, what takes longest first."""
        assert self._run is not None
        ahead, device = self._run.ahead, self._run.device
        ready = [record for record in records if record.has_row and not record.failure]
        for record in ready if ahead.pool is not None and self._run.randomize else ():
            self._is_scaled(record, params)
            self._begin_traps(record)
        whole = [record for record in ready if record.is_whole]
        if len(whole) > 1 and device == "cpu":
            layers = [Small(one.title, one.ww_layer.Wmats, functools.partial(self._entries_of, one)) for one in whole]
            together = Together(layers, ahead.later)
            for place, record in enumerate(whole):
                every = range(len(record.ww_layer.Wmats))
                record.spectra = [functools.partial(together.spectrum, place, number) for number in every]
                record.strengths = functools.partial(together.strengths, place)
        elif ahead.pool is not None:
            for record in whole:
                record.spectra = self._begun_spectra(record.ww_layer.Wmats)
                record.strengths = ahead.later(self._strengths_of, record)

    def _begun_spectra(self, matrices: list[Any]) -> list[Callable[[], FloatArray]]:
        """What gives the eigenvalues of each matrix; a device decomposes them together."""
        assert self._run is not None
        if self._run.device == "cpu" or len(matrices) == 1:
            return [self._run.ahead.later(self._decompose(), matrix) for matrix in matrices]
        begun = self._run.ahead.later(scaled_eigenvalues_of, matrices, self._run.device)
        return [functools.partial(lambda place: begun()[place].plain, place) for place in range(len(matrices))]

    def _begin_traps(self, record: Record) -> None:
        assert self._run is not None
        begun = self._run.ahead.later(self._traps_of, record)
        record.traps = functools.cache(lambda: attempt(record.title, "no traps", begun))

    def _has_traps(self, record: Record, params: Any) -> bool:
        assert self._run is not None
        has_spectrum = record.asked is not None or (not record.failure and record.ww_layer.evals is not None)
        return self._run.randomize and has_spectrum and not any(params[mode] for mode in OTHER_SPECTRA)

    def _traps_of(self, record: Record) -> TrapReport:
        """Traps of the layer's matrices, an element's index being that in the weight as the model has it."""
        assert self._run is not None
        matrices, kernel = self._turned(record, list(record.matrices()))
        return find_traps_of(matrices, seed=self._run.seed, kernel=kernel, whole=True, device=self._run.device)

    def _turned(self, record: Record, matrices: list[Any]) -> tuple[list[Any], tuple[int, ...] | None]:
        """Matrices with rows and columns as the model has them, and the kernel whose slices they are."""
        assert self._run is not None
        shape = self._run.shape_of(record)
        if len(shape) > 2 and math.prod(shape[2:]) == len(matrices):
            # weightwatcher turns the slices of a kernel with more inputs than outputs.
            if matrices[0].shape == shape[:2]:
                return matrices, shape[2:]
            if matrices[0].shape == shape[1::-1]:
                return [matrix.T for matrix in matrices], shape[2:]
        return matrices, None

    def _engine(self) -> str:
        return self._run.engine if self._run else "reference"

    def _as_stored(self, params: Any) -> bool:
        """True when nothing but our own numerics reads the weights, which then stay as they are stored."""
        return self._engine() == "fast" and not self._reads_weights(params)

    def _reads_weights(self, params: Any) -> bool:
        """True where weightwatcher's own code reads them, or those of a base model are taken away."""
        return self._base is not None or any(params[mode] for mode in READS_WEIGHTS)

    def _why_undefined(self, record: Record) -> str:
        bad = bad_entries(record.own_matrices()[0])
        return f"layer {record.title}: {bad}" if bad else ""

    def _record(self, ww_layer: Any) -> Record | None:
        return self._run.record_of(ww_layer) if self._run else None

    def _adopt(self, model: Any) -> None:
        given = adapt(model)
        framework = self.infer_framework(given.model)
        self.load_framework_imports(framework)
        self.__dict__.update(_given=given, model=given.model, framework=framework)

    def _take_over(self, other: WeightWatcher) -> None:
        self.__dict__.update(_given=other._given, model=other.model, framework=other.framework)


def mean_of(values: np.ndarray, least: float = np.nextafter(-math.inf, 0)) -> float:
    """The mean of what is finite (from `least` on); NaN where nothing is."""
    values = values.astype(float)
    kept = values[(values >= least) & (values < math.inf)]
    return float(np.mean(kept)) if kept.size else math.nan
