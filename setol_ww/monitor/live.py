"""`Monitor`: the spectra of a model while it is trained, without a change to the training."""

from __future__ import annotations

import html
import logging
import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from ..core.boundary import attempt
from ..core.checks import path_of, positive_integer
from ..core.errors import InvalidInput
from ..core.manners import importing
from ..core.options import Options, refuse_unknown
from ..results.record import ANALYZED, LayerRecord
from ..results.results import Results
from .alarms import Alarm, Alarms
from .budget import Budget, share_of
from .copies import Copy, Layer, analysed, layers_now, layers_of_model, warm_up
from .history import History
from .on_disk import Keeper, OnDisk

logger = logging.getLogger(__name__)

#: Options of an analysis that a monitor takes.
OPTIONS = ("layouts", "quality", "randomize", "seed", "uncertainty")
Log = Callable[[Mapping[str, Any]], Any]


class Monitor:
    """Follow the layers of a model through its training.

    Call `step` in the loop. At the first call and every `every` steps each layer is due once; layers are copied and
    analysed one at a time, in turn, on a thread of their own, as the budget of time allows: what does not fit into a
    round is first in the next. Training waits for a copy, never for a decomposition.

    Weights, gradients, generators, thread settings and modes are as without it: a run gives the same bits.

    Parameters
    ----------
    model : torch.nn.Module or mapping of names to tensors
        Wrappers of `torch.compile` and data parallelism are looked through.
    every : int
        Steps between two rounds.
    layers : optional
        Which layers, as in `analyze`: names, patterns, types, `-` leaves out; of those that the model has now.
    time_budget : float or None
        Share of the time of training (wall clock) for the monitor's own work on any thread, from above 0 to 1. A layer
        begins when the time it took before fits; one whose time is not known begins when nothing is owed. None: no
        limit, every layer in the very step in which it is due, and training waits.
    log : callable, optional
        Called with each new row (a mapping of columns), in the thread that calls `step`; ready-made in
        `setol_ww.monitor.tensorboard` and `.wandb`.
    alarms : mapping, optional
        What to call when a rule begins to hold for a layer: `{"alpha below 2": warn}`; rules are `alpha below 2`,
        `trap`, `moved`, or a function of an analysed row. Called with an `Alarm`, in the thread that calls `step`.
    out : path, optional
        Where the history is kept while the run goes on: `.setol` with the spectra, or `.csv`, `.parquet`, `.json`,
        `.html` with the store beside it. A run that goes on from an earlier step goes on there.
    background : bool
        False analyses in the thread that calls `step`.
    **options
        `layouts`, `quality`, `randomize`, `seed`, `uncertainty`, as in `analyze`.

    Raises
    ------
    InvalidInput
        An option that is not accepted, no layers, parameters that are sharded (FSDP, ZeRO-3, DTensor): then follow
        checkpoints with `setol-ww watch DIR`; `out` cannot be written or holds the history of another run.

    Notes
    -----
    Once it is made nothing but what an alarm calls ends a training: a layer that cannot be looked at, or is not there
    any more, has a row with the reason; what cannot be written or logged is said by Python's `logging`.

    Spectra are kept, 8 bytes for each eigenvalue and look, until the monitor is let go. docs/monitor.md has what was
    measured of its cost and of the words in `move`.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Linear(60, 40)
    >>> with ww.Monitor(net, every=2, time_budget=None) as monitor:
    ...     for step in range(5):
    ...         with torch.no_grad():
    ...             _ = net.weight.mul_(1.1)
    ...         monitor.step(step)
    >>> monitor.history[["step", "longname", "status"]].values.tolist()
    [[0, 'weight', 'analyzed'], [2, 'weight', 'analyzed'], [4, 'weight', 'analyzed']]
    """

    def __init__(
        self,
        model: Any,
        every: int = 500,
        layers: Sequence[str | int] | str | int | None = None,
        time_budget: float | None = 0.02,
        log: Log | None = None,
        *,
        alarms: Mapping[Any, Callable[[Alarm], Any]] | None = None,
        background: bool = True,
        out: str | Path | None = None,
        **options: Any,
    ) -> None:
        refuse_unknown(options, OPTIONS)
        if log is not None and not callable(log):
            raise InvalidInput(f"log={log!r} was asked; accepted is a function of one row, or None")
        self.every = positive_integer("every", every)
        self.options = Options(layers=layers, **{"layouts": {}, **options})
        self.log, self.background = log, bool(background)
        self.budget = Budget(share_of(time_budget))
        self._alarms = Alarms(alarms, randomize=self.options.randomize)
        self._model = model
        with importing():
            self._layers = layers_of_model(model, self.options)
            warm_up(self.options)
        titles = frozenset(one.job.title for one in self._layers)
        self._chosen = titles if self.options.layers else None
        self._about = {"history_of": type(model).__qualname__, "every": self.every}
        self._history = History(self.options, self._about)
        self._keeper = None if out is None else self._kept_in(path_of("out", out))
        self._seconds: dict[str, float] = {}
        self._unlogged = ""
        self._round = self._step = -1
        # Layers of this round that are still to come, and whose turn it is.
        self._left = self._turn = 0
        self._running: _Running | None = None

    def step(self, step: int) -> None:
        """Say that a step of training is done.

        Parameters
        ----------
        step : int
            The global step, counted over all epochs; smaller than before after a return to an earlier checkpoint.
        """
        number = _whole(step)
        self.budget.tick()
        is_due = self._step < 0 or number // self.every != self._round
        self._begin(number)
        if not (is_due or self._has_finished or self._may_begin()):
            return
        started = self.budget.clock()
        self._collect()
        if is_due:
            self._round = number // self.every
            self._begin_round()
        while self._may_begin():
            self._look(number)
            if self.budget.share is not None:
                break
        self._keep()
        self.budget.spend(self.budget.clock() - started, waited=True)
        self.budget.tick()

    def look(self, step: int) -> None:
        """Look at every layer now, whatever the budget, and wait for it: before training, or at its end."""
        number = _whole(step)
        self.wait()
        self._begin(number)
        self._begin_round()
        self._round, self._turn = number // self.every, 0
        for layer in self._layers:
            self._add(_Running(layer, number, self.options, background=False))
        self._left = 0
        self._keep()

    def wait(self) -> None:
        """Wait for the layer that is being analysed."""
        if self._running is not None:
            self._running.join()
            self._collect()

    def keep(self) -> None:
        """Write every row that is there to `out`; beside a checkpoint, so that both go together."""
        self._keep(due=True)

    def close(self) -> None:
        """Wait for the layer that is being analysed, and keep its row."""
        self.wait()
        self.keep()

    @property
    def history(self) -> pd.DataFrame:
        """A row for each look: step, layer, tail, ERG cut, state, `move`, seconds. Waits for the one being made."""
        self.wait()
        return self._history.frame()

    @property
    def results(self) -> Results:
        """The history with the spectra, as `Results`."""
        self.wait()
        return self._history.results()

    def save(self, path: str | Path) -> None:
        """Keep the history: `.setol` with the spectra (`ww.open_results`), or `.csv`, `.parquet`, `.json`, `.html`."""
        self.wait()
        self._history.save(path)

    @property
    def overhead(self) -> float:
        """Share of the time from the first step to the last that the monitor worked, on any thread; NaN before."""
        return self.budget.spent / self.budget.elapsed if self.budget.elapsed else float("nan")

    @property
    def waiting(self) -> float:
        """Share of that time that training waited for the monitor; NaN before."""
        return self.budget.waited / self.budget.elapsed if self.budget.elapsed else float("nan")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __str__(self) -> str:
        share = self.budget.share
        limit = "no limit" if share is None else f"at most {100 * share:g} %"
        lines = [f"{len(self._layers)} layers every {self.every} steps, {len(self._history.rows)} looks so far"]
        if self.budget.elapsed:
            lines.append(
                f"worked {100 * self.overhead:.2g} % of {self.budget.elapsed:.1f} s ({limit}); training waited "
                f"{100 * self.waiting:.2g} %"
            )
        lines += [str(self._keeper)] if self._keeper is not None else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _kept_in(self, target: Path) -> Keeper:
        return Keeper(OnDisk(target, self.options, self._history.about), self.budget.clock)

    def _begin(self, number: int) -> None:
        """At the first step of all, go on with the history that is kept of the steps before."""
        if self._step < 0 and self._keeper is not None:
            self._history = self._keeper.begin(number, self.options, self._about)
        self._step = number

    def _keep(self, *, due: bool = False) -> None:
        if self._keeper is not None:
            self._keeper.keep(self._history, due=due)

    def _begin_round(self) -> None:
        # The model may have been wrapped, sharded or taken apart since.
        self._layers = layers_now(self._model, self.options, self._layers, self._chosen)
        self._left = len(self._layers)
        self._turn %= max(1, self._left)

    @property
    def _has_finished(self) -> bool:
        return self._running is not None and self._running.is_done

    def _may_begin(self) -> bool:
        """Whether a layer is due, nothing is running, and the time it took before fits into the budget."""
        if not self._left or self._running is not None:
            return False
        return self.budget.allows(self._seconds.get(self._layers[self._turn].job.title, 0.0))

    def _look(self, step: int) -> None:
        layer = self._layers[self._turn]
        self._turn = (self._turn + 1) % len(self._layers)
        self._left -= 1
        running = _Running(layer, step, self.options, background=self.background and self.budget.share is not None)
        if running.thread is None:
            self._add(running)
        else:
            self._running = running

    def _collect(self) -> None:
        """Take over what the thread has finished."""
        running = self._running
        if running is not None and self._has_finished:
            self._running = None
            self.budget.spend(running.seconds)
            self._add(running)

    def _add(self, running: _Running) -> None:
        record = running.record
        self._seconds[record.title] = record.seconds
        row = self._history.add(running.step, record)
        self._tell(row)
        if record.status == ANALYZED:
            self._alarms.look(row)

    def _tell(self, row: Mapping[str, Any]) -> None:
        """Log a row; what goes wrong there is no reason to end a training."""
        log = self.log
        if log is None:
            return
        reason = attempt(str(row["longname"]), "not logged", lambda: log(row)).reason
        if reason and reason != self._unlogged:
            logger.warning("step %d, %s; training goes on", row["step"], reason)
        self._unlogged = reason


def _whole(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidInput(f"step({step!r}) was asked; accepted is the number of a step, 0 or more")
    return number


class _Running:
    """A copy of one layer and its analysis, on a thread of its own or at once."""

    def __init__(self, layer: Layer, step: int, options: Options, *, background: bool) -> None:
        started = time.perf_counter()
        self.step, self.options = step, options
        self._copy: Copy | None = layer.copied()
        self._copying = time.perf_counter() - started
        self.seconds = 0.0
        self._found: LayerRecord | None = None
        self.thread: threading.Thread | None = None
        if background:
            # It is no reason for a process to stay that a layer is not finished.
            self.thread = threading.Thread(target=self._work, name="setol_ww.Monitor", daemon=True)
            try:
                self.thread.start()
            except RuntimeError:
                # The process may have no more threads.
                self.thread = None
        if self.thread is None:
            self._work()

    @property
    def is_done(self) -> bool:
        """Whether the record is there."""
        return self.thread is None or not self.thread.is_alive()

    @property
    def record(self) -> LayerRecord:
        """What was found, with the time of copy and analysis."""
        assert self._found is not None
        return replace(self._found, seconds=self._copying + self.seconds)

    def join(self) -> None:
        """Wait for it."""
        if self.thread is not None:
            self.thread.join()

    def _work(self) -> None:
        started = time.perf_counter()
        assert self._copy is not None
        self._found, self._copy = analysed(self._copy, self.options), None
        self.seconds = time.perf_counter() - started
