"""Calls of the package that are refused, by the room that refuses them: see `kept_words.py`."""

from __future__ import annotations

import importlib
import io
import json
import sqlite3
import sys
import threading
import types
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

import setol_ww as ww
from fixtures.file_bytes import headed
from setol_ww.core.arrays import as_vector
from setol_ww.linalg.routines import _in_memory
from setol_ww.monitor.folder import watch
from setol_ww.results import codec, store
from setol_ww.results.export import refuse_unwritable
from setol_ww.spectrum.esd import Spectrum
from setol_ww.theory.laws import edges
from setol_ww.theory.laws.uneven_noise import UnevenNoise
from setol_ww.traps.find import find_traps_of
from setol_ww.truncation import holds
from setol_ww.truncation.pieces import pieces_of
from setol_ww.truncation.rules import Undefined, as_rule
from setol_ww.watcher.standins import Figures

from .kept_words import Call, before


def noise(rows: int = 40, columns: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


def does(call: Callable[[], object]) -> Call:
    """A call that needs no folder."""
    return lambda _: call()


def results() -> ww.Results:
    return ww.examine({"a.weight": noise(), "b.weight": noise(30, 20)}, progress=False)


LINEAR = nn.Linear(30, 20)
IDS = torch.zeros(2, 10).long()

ADVICE: dict[str, Call] = {
    "advice: a layer by number": does(lambda: ww.recommend(results(), "learning-rates", keep_base=3)),
    "advice: one model": does(lambda: ww.compare(None, {"a": noise()})),
    "advice: groups of no module": does(lambda: ww.recommend(results(), "learning-rates").param_groups({})),
    "advice: least above rank": does(lambda: ww.recommend(results(), "lora-rank", least=17, rank=16)),
    "advice: more sparsity than most": does(lambda: ww.recommend(results(), "sparsity", sparsity=0.9, most=0.8)),
    "advice: a run of one": does(lambda: ww.compare_run([{"a": noise()}])),
    "advice: steps that fall": does(lambda: ww.compare_run([{"a": noise()}] * 2, steps=[3, 1])),
}

CORE: dict[str, Call] = {
    "core: a tensor on the meta device": does(lambda: ww.find_traps(torch.ones(9, 9, device="meta"))),
    "core: a matrix of eigenvalues": does(lambda: as_vector(noise())),
    "core: words of eigenvalues": does(lambda: as_vector(["a", "b"])),
    "core: half a layer": does(lambda: ww.Options(layers=2.5)),
    "linalg: a device that torch does not know": before(" (", does(lambda: ww.examine({"a": noise()}, device=3.5))),
    "linalg: a device without float64": does(lambda: ww.examine({"a": noise()}, device="mps")),
    "linalg: complex numbers for LAPACK": does(lambda: _in_memory(np.ones(2, complex))),
}


def no_cuda(_: Path) -> object:
    with mock.patch("torch.cuda.is_available", return_value=False), mock.patch.object(torch, "__version__", "2"):
        return ww.examine({"a": noise()}, device="cuda")


def command(words: str) -> Call:
    """What the command line says on standard error; NET is a file of weights, HERE its folder."""

    def call(folder: Path) -> str:
        from setol_ww.cli.main import main

        np.savez(folder / "net.npz", fc1=noise(), fc2=noise(50, 40))
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            try:
                status = main(words.replace("NET", str(folder / "net.npz")).replace("HERE", str(folder)).split())
            except SystemExit as ended:
                status = ended.code
        return f"status {status}, {said.getvalue().strip():.200}"

    return call


COMMANDS: dict[str, Call] = {
    "command: table and JSON": command("analyze NET --out - --json"),
    "command: a store of two": command("analyze NET NET --out HERE/a.setol"),
    "command: rule and plan": command("truncate NET --rule erg --plan HERE/a.yaml --out HERE/x"),
    "command: a clause that is none": command("spec --only XYZ-99"),
}


def wandb_without_a_run(_: Path) -> object:
    """Something stands in for the library, which need not be installed."""
    library, name = types.SimpleNamespace(run=None), "setol_ww.monitor.wandb"
    with mock.patch.dict(sys.modules, {"wandb": library}), mock.patch.object(ww.monitor, "wandb", None, create=True):
        sys.modules.pop(name, None)
        return importlib.import_module(name).WandbLog()


MONITOR: dict[str, Call] = {
    "monitor: an alarm that is none": does(lambda: ww.Monitor(LINEAR, alarms={"fire": print})),
    "monitor: more time than there is": does(lambda: ww.Monitor(LINEAR, time_budget=2)),
    "monitor: nothing to look at": does(lambda: monitored(nn.LayerNorm(9))),
    "linalg: a device that is not there": no_cuda,
    "monitor: an alarm that cannot be called": does(lambda: ww.Monitor(LINEAR, alarms={"moved": 3})),
    "monitor: traps without shuffling": does(lambda: ww.Monitor(LINEAR, alarms={"trap": print})),
    "monitor: a log that cannot be called": does(lambda: ww.Monitor(LINEAR, log=3)),
    "monitor: a log without a run": wandb_without_a_run,
    "monitor: no seconds": lambda folder: watch(folder, every=0),
    "monitor: no time to settle": lambda folder: watch(folder, settle=True),
}


def monitored(model: nn.Module) -> object:
    with ww.Monitor(model):
        return None


# Results files.


def stored(change: Callable[[sqlite3.Connection, Path], None]) -> Call:
    """Opening a results file after a change that leaves its checksums to be found wrong, or made right again."""

    def call(folder: Path) -> object:
        path = folder / "a.setol"
        results().save(path)
        with sqlite3.connect(path) as connection:
            change(connection, path)
        connection.close()
        return ww.open_results(path).table()

    return call


def put(connection: sqlite3.Connection, table: str, content: bytes, digest: bytes | None = None) -> None:
    """The one row of a table, by default with its checksum."""
    kept = store._digest((table, content)) if digest is None else digest
    connection.execute(f"UPDATE {table} SET content = ?, digest = ?", (content, kept))


def another_schema(connection: sqlite3.Connection, _: Path) -> None:
    told = json.loads(connection.execute("SELECT content FROM about").fetchone()[0])
    put(connection, "about", json.dumps({**told, "schema": 99}).encode())


def damaged_row(folder: Path) -> object:
    """A record that is not the one that was written."""
    return store._record((0, "a", b"nothing", b"wrong"), folder / "a.setol")


def of_a_newer_kind(folder: Path) -> object:
    """A record whose checksum is right and whose bytes are of no kind that is known."""
    row = (0, "a", b"nothing")
    return store._record((*row, store._digest(row)), folder / "a.setol")


def explained(said: str) -> Call:
    """What SQLite says while a file is read."""

    def call(folder: Path) -> None:
        with store._explained(folder / "a.setol"):
            raise sqlite3.DatabaseError(said)

    return call


def found_damaged(folder: Path) -> object:
    """What SQLite finds when it looks at a file as a whole."""
    answers = iter([[(store.SCHEMA_VERSION,)], [("row 3 missing from index",)]])
    cursor = mock.MagicMock(execute=lambda _: mock.MagicMock(**rows(next(answers))))
    return store._verified(cursor, folder / "a.setol")


def rows(found: list[tuple[object, ...]]) -> dict[str, object]:
    return {"fetchone.return_value": found[0], "__iter__.return_value": iter(found)}


def part_of_a_scan(folder: Path) -> object:
    """A shard whose scan was ended after its first row."""
    path = folder / "a.setol"
    np.savez(folder / "net.npz", **{f"fc{k}": noise() for k in range(3)})
    ww.scan(folder / "net.npz", path, progress=False)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM rows WHERE position > 0")
        digests = [digest for (digest,) in connection.execute("SELECT digest FROM rows")]
        total = sum(int.from_bytes(digest, "big") for digest in digests) % store.MODULUS
        store._seal(connection, len(digests), total)
    connection.close()
    return ww.merge_scans([path], folder / "b.csv")


def changed_while_planned(folder: Path) -> object:
    np.savez(folder / "net.npz", fc1=noise())
    with mock.patch("setol_ww.scanning.run.checkpoint_fingerprint", side_effect=[("1", {}), ("2", {})]):
        return ww.scan(folder / "net.npz", progress=False)


def without_parquet(folder: Path) -> object:
    with mock.patch("importlib.util.find_spec", return_value=None):
        return refuse_unwritable("--out", folder / "a.parquet")


RESULTS: dict[str, Call] = {
    "results: what SQLite says": explained("database disk image is malformed"),
    "results: what SQLite finds": found_damaged,
    "results: a part of a scan": part_of_a_scan,
    "results: a table without its library": without_parquet,
    "scan: a checkpoint that changes": changed_while_planned,
    "results: a value of a class": does(lambda: codec.pack(object())),
    "results: a complex number": does(lambda: codec.pack(np.complex64(1j))),
    "results: an array of objects": does(lambda: codec.pack(np.array([None, "a"], object))),
    "results: bytes that are no record": does(lambda: codec.unpack(b"nothing" * 9)),
    "results: another schema inside": stored(another_schema),
    "results: a damaged table": stored(lambda connection, _: put(connection, "seal", b"{}", b"")),
    "results: another table": stored(lambda connection, _: connection.execute("CREATE TABLE more (a)")),
    "results: a damaged record": stored(lambda connection, _: connection.execute("UPDATE rows SET digest = x'00'")),
    "results: a record damaged since the file was opened": damaged_row,
    "results: a record of another make": before("(", of_a_newer_kind),
    "results: no file": lambda folder: ww.open_results(folder / "a.setol"),
    "results: an empty store": lambda folder: (folder / "a.setol").touch() or ww.open_results(folder / "a.setol"),
    "results: one file twice": lambda folder: ww.merge_scans([folder / "a.csv"] * 2, folder / "b.csv"),
}

SPECTRUM: dict[str, Call] = {
    "spectrum: a shape of one side": does(lambda: Spectrum.from_eigenvalues([1.0, 2.0], (2,))),
    "spectrum: too few eigenvalues": does(lambda: Spectrum.from_eigenvalues([1.0, 2.0], (4, 3))),
    "theory: a free Cauchy of no width": does(lambda: ww.laws.FreeCauchy(0.0, 0.0)),
    "theory: an inverse of no kappa": does(lambda: ww.laws.InverseMarchenkoPastur(0.0)),
    "theory: beyond the branch point": does(lambda: ww.laws.InverseMarchenkoPastur(1.0).r_transform(2.0)),
    "theory: strengths below 0": does(lambda: UnevenNoise([1.0], [-1.0])),
    "theory: no ratio": does(lambda: UnevenNoise([1.0], [1.0], 0.0)),
    "theory: eigenvalues that are not finite": does(lambda: ww.transforms.stieltjes(1j, [np.inf])),
    "theory: an edge that is not found": does(lambda: edge_in_one_step()),
    "traps: a level of 1": does(lambda: ww.find_traps(noise(), level=1)),
    "traps: of nothing": does(lambda: find_traps_of([])),
    "traps: a kernel without entries": does(lambda: ww.find_traps(np.ones((9, 9, 0, 3)))),
    "traps: a report that is none": does(lambda: ww.remove_traps(noise(), report=3)),
    "traps: of another weight": does(lambda: ww.remove_traps(noise(), report=ww.find_traps(noise(30, 20)))),
}


def edge_in_one_step() -> object:
    with mock.patch.object(edges, "NEWTON", 1):
        return UnevenNoise([1.0, 9.0], [1.0, 4.0], 0.5).support


# Truncation.


def classified(labels: object, inputs: object = None) -> Call:
    """The error of a linear layer on one batch."""
    batch = (torch.ones(9, 30) if inputs is None else inputs, labels)
    return does(lambda: ww.classification_metrics([batch])(LINEAR))


def predicted(batch: object) -> Call:
    """The perplexity of a model whose answer is always of two sequences of ten tokens."""
    return does(lambda: ww.perplexity([batch])(lambda *_, **__: torch.zeros(2, 10, 30)))


def factors(change: Callable[[Path, nn.Module], nn.Module]) -> Call:
    """Installing factors in a model, after a change of them or of it."""

    def call(folder: Path) -> object:
        from safetensors.torch import save_file

        model = nn.Sequential(nn.Linear(60, 40))
        save_file({name: one.clone() for name, one in model.state_dict().items()}, folder / "a.safetensors")
        ww.truncate_checkpoint(folder / "a.safetensors", folder / "out", "rank:3", factorised=True)
        return ww.install_factorised(change(folder / "out", model), folder / "out")

    return call


def without_the_right(folder: Path, model: nn.Module) -> nn.Module:
    from safetensors.torch import load_file, save_file

    (file,) = folder.glob("*.safetensors")
    save_file({name: one for name, one in load_file(file).items() if not name.endswith("right")}, file)
    return model


def expanded(_: Path, model: nn.Module) -> nn.Module:
    """Its bias lies in one place for all, which nothing can be copied into."""
    model[0].bias = nn.Parameter(torch.ones(1).expand(40))
    return model


def meanwhile(folder: Path) -> object:
    """Another thread truncates what this one reads."""
    pieces = pieces_of(LINEAR)

    def other() -> None:
        with holds.truncating(pieces):
            pass

    thread = threading.Thread(target=other, name="another")
    with holds.copying(pieces):
        thread.start()
        thread.join()
    return None


def not_cut(rule: str) -> str:
    """Why a layer of which half of the eigenvalues are zero is not cut."""
    try:
        return f"{as_rule(rule).kept(ww.Spectrum.from_eigenvalues([0.0, 0.0, 1.0, 2.0]))} are kept"
    except Undefined as error:
        return str(error)


def plan(content: str) -> Call:
    def call(folder: Path) -> object:
        from setol_ww.truncation.plans import read_plan

        (folder / "plan.yaml").write_text(content, encoding="utf-8")
        return read_plan(folder / "plan.yaml")

    return call


TRUNCATION: dict[str, Call] = {
    "truncation: no folder of factors": lambda folder: ww.load_factorised(folder),
    "truncation: a model of another shape": factors(lambda _, model: nn.Sequential(nn.Linear(50, 40))),
    "truncation: a factor that is gone": factors(without_the_right),
    "truncation: a model that takes no tensors": factors(expanded),
    "truncation: another thread": meanwhile,
    "truncation: fractions above 1": does(lambda: ww.truncation_curve(LINEAR, len, fractions=[2.0])),
    "truncation: no loader": does(lambda: ww.perplexity(3)),
    "truncation: too few labels": classified(torch.zeros(8).long()),
    "truncation: labels of words": classified(["a"] * 9),
    "truncation: labels that are floats": classified(torch.zeros(9)),
    "truncation: one axis of logits": classified(torch.zeros(1).long(), torch.ones(30)),
    "truncation: a batch of words": does(lambda: ww.classification_metrics(["text"])(LINEAR)),
    "truncation: no samples": does(lambda: ww.classification_metrics([])(LINEAR)),
    "truncation: tokens of words": predicted("text"),
    "truncation: one sequence": predicted(torch.zeros(10).long()),
    "truncation: longer sequences": predicted(torch.zeros(2, 11).long()),
    "truncation: a mask of another size": predicted({"input_ids": IDS, "attention_mask": torch.ones(2, 9)}),
    "truncation: no noise level": does(lambda: not_cut("gavish-donoho")),
    "truncation: no tokens": does(lambda: ww.perplexity([])(LINEAR)),
    "truncation: no metric": does(lambda: ww.evaluate_truncation(LINEAR, lambda net: {"rank": 1.0})),
    "truncation: no model": does(lambda: ww.truncate(3, "erg")),
    "truncation: a plan of a list": plan("[1, 2]"),
    "truncation: a plan that is no YAML": before("while", plan("a: [1")),
    "truncation: a rule that answers half": does(lambda: as_rule(lambda s: 0.5).kept(ww.Spectrum.from_matrix(noise()))),
}

# Pictures.

PLOTS: dict[str, Call] = {
    "views: a picture of a matrix": does(lambda: ww.plots.esd(noise())),
    "views: a picture of no comparison": does(lambda: ww.plots.comparison(results())),
    "views: more labels than models": does(lambda: ww.plots.histogram(results(), labels=["a", "b"])),
    "views: axes that are none": does(lambda: ww.plots.esd(ww.analyze_matrix(noise()), ax=3)),
    "views: a run that is none": does(lambda: ww.plots.training(3)),
    "views: a curve that is none": does(lambda: ww.plots.truncation_curve(3)),
}

# WeightWatcher's questions, and layouts.


def watcher(weights: dict[str, np.ndarray] | None = None) -> ww.WeightWatcher:
    return ww.WeightWatcher({"a.weight": noise()} if weights is None else weights)


def asked(layout: str, shape: tuple[int, ...] = (30, 20)) -> Call:
    return does(lambda: ww.analyze({"a.weight": np.ones(shape)}, layouts={"a.weight": layout}))


def with_cuda(_: Path) -> object:
    with mock.patch("torch.cuda.is_available", return_value=True):
        return watcher().analyze(device="cuda", engine="reference")


def unreadable_twin(folder: Path) -> str:
    """The reason of a row of distances whose other layer has fewer bytes than its shape needs."""
    content = headed("{'descr': '<f4', 'fortran_order': False, 'shape': (40, 30), }", bytes(36))
    (folder / "h.npy").write_bytes(content)
    return str(ww.WeightWatcher().distances({"h": noise()}, folder / "h.npy")[2]["reason"].iloc[0])


WATCHER: dict[str, Call] = {
    "watcher: an option that is none": does(lambda: watcher().analyze(mintevals=3)),
    "watcher: an option that does not work": does(lambda: watcher().analyze(fft=True)),
    "watcher: a device with the reference": with_cuda,
    "watcher: the first of none": does(lambda: ww.WeightWatcher(nn.Embedding(0, 3)).get_ESD()),
    "watcher: one of none": does(lambda: ww.WeightWatcher(nn.Embedding(0, 3)).get_ESD(layer="a")),
    "watcher: another model that cannot be read": unreadable_twin,
    "watcher: a hidden name of figures": does(lambda: Figures()._hist),
    "layouts: two widths": asked("qkv:1,2", (30, 10)),
    "layouts: widths that do not sum": asked("qkv:10,10,9", (30, 10)),
    "layouts: a stack of another number": asked("stack:3", (2, 30, 20)),
    "layouts: rows that do not divide": asked("stack:7"),
    "layouts: folded at no axis": asked("fold:0", (30, 20, 3)),
    "layouts: words for numbers": asked("stack:two", (2, 30, 20)),
}


CALLS: dict[str, Call] = {
    **ADVICE,
    **CORE,
    **COMMANDS,
    **MONITOR,
    **RESULTS,
    **SPECTRUM,
    **TRUNCATION,
    **PLOTS,
    **WATCHER,
}
