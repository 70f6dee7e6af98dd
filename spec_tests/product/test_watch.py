"""`setol-ww watch`: complete checkpoints only, each once, whatever kills it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

import setol_ww as ww
from setol_ww.cli.main import main
from setol_ww.core.options import Options
from setol_ww.monitor.checkpoints_in import Folder
from setol_ww.monitor.folder import Seen, watch
from setol_ww.monitor.history import history_of
from setol_ww.results.export import WRITERS
from setol_ww.results.store import ENDINGS


def weights(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    return {f"layers.{number}.weight": rng.normal(size=(50, 40)).astype(np.float32) for number in range(3)}


def rows_of(history: pd.DataFrame) -> list[tuple[int, str]]:
    return list(zip(history["step"], history["longname"]))


def expected(*steps: int) -> list[tuple[int, str]]:
    return [(step, f"layers.{number}") for step in steps for number in range(3)]


def sharded(folder: Path, step: int, shards: int = 2) -> list[Path]:
    """A checkpoint in shards, without its index."""
    folder.mkdir(parents=True)
    tensors = list(weights(step).items())
    files = [folder / f"model-{number + 1:05d}-of-{shards:05d}.safetensors" for number in range(shards)]
    for number, file in enumerate(files):
        save_file(dict(tensors[number::shards]), file)
    return files


def index_of(folder: Path) -> None:
    from safetensors import safe_open

    where = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "np") as opened:
            where |= dict.fromkeys(opened.keys(), file.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def test_files_and_folders_each_once_and_in_order(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    torch.save({name: torch.from_numpy(one) for name, one in weights(2).items()}, run / "epoch=0-step=2.ckpt")
    save_file(weights(10), run / "model_0010.safetensors")
    sharded(run / "checkpoint-4", 4)
    index_of(run / "checkpoint-4")
    (run / "checkpoint-4" / "trainer_state.json").write_text(json.dumps({"global_step": 5}))
    (run / "optimizer.pt").write_bytes(b"no model")
    (run / "logs").mkdir()
    (run / "tmp-checkpoint-6").mkdir()
    (run / "last.ckpt").symlink_to(run / "epoch=0-step=2.ckpt")
    out = tmp_path / "history.setol"
    seen = []
    first = watch(run, out, once=True, settle=0.01, tell=seen.append)
    assert rows_of(first) == expected(2, 5, 10)
    assert [one.name for one in seen] == ["epoch=0-step=2.ckpt", "checkpoint-4", "model_0010.safetensors"]
    again = []
    second = watch(run, out, once=True, settle=0.01, tell=again.append)
    assert again == []
    pd.testing.assert_frame_equal(first, second)
    results = ww.open_results(out)
    pd.testing.assert_frame_equal(history_of(results), first)
    direct = ww.scan(run / "model_0010.safetensors")
    assert first["tail_alpha"].tolist()[-3:] == direct["tail_alpha"].tolist()
    assert results.records[-1].identity["source"] == "model_0010.safetensors"
    assert [path.name for path in tmp_path.iterdir()].count("history.setol") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.setol", "run"]


def test_only_what_is_complete(tmp_path):
    folder = Folder(tmp_path)
    assert folder.look() == []
    files = sharded(tmp_path / "checkpoint-1", 1)
    second = files[1].read_bytes()
    files[1].unlink()
    assert folder.look() == []
    # A shard is missing, however long it rests.
    assert folder.look() == []
    assert "missing" in folder.refused["checkpoint-1"]
    files[1].write_bytes(second[: len(second) // 2])
    assert folder.look() == []
    # Half a shard.
    assert folder.look() == []
    assert "checkpoint-1" in folder.refused
    files[1].write_bytes(second)
    assert folder.look() == []
    assert [found.name for found in folder.look()] == ["checkpoint-1"]
    assert folder.refused == {}
    assert folder.look() == []
    # An index that names a shard which is not there yet.
    sharded(tmp_path / "checkpoint-2", 2)
    index_of(tmp_path / "checkpoint-2")
    held = tmp_path / "checkpoint-2" / "model-00002-of-00002.safetensors"
    kept = held.read_bytes()
    held.unlink()
    assert [folder.look(), folder.look()] == [[], []]
    held.write_bytes(kept)
    assert folder.look() == []
    assert [found.step for found in folder.look()] == [2]


def test_a_file_that_grows_is_not_opened(tmp_path):
    folder = Folder(tmp_path)
    save_file(weights(1), tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "whole.safetensors").unlink()
    growing = tmp_path / "step1.safetensors"
    for size in range(1000, len(content), 5000):
        growing.write_bytes(content[:size])
        assert folder.look() == []
        assert folder.refused == {}
    growing.write_bytes(content)
    assert folder.look() == []
    assert [found.name for found in folder.look()] == ["step1.safetensors"]


def test_a_checkpoint_written_again_is_looked_at_again(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    save_file(weights(0), run / "last.safetensors")
    out = tmp_path / "history.csv"
    watch(run, out, once=True, settle=0.01)
    save_file(weights(1), run / "last.safetensors")
    history = watch(run, out, once=True, settle=0.01)
    assert rows_of(history) == expected(0, 1)
    assert ww.read_table(out)["step"].tolist() == history["step"].tolist()
    assert history["tail_alpha"].tolist()[:3] != history["tail_alpha"].tolist()[3:]


@pytest.mark.parametrize("ending", ["", "-journal"])
def test_what_killed_scans_left_is_gone(ending, tmp_path):
    run, out = tmp_path / "run", tmp_path / "history[1].setol"
    run.mkdir()
    save_file(weights(0), run / "step0.safetensors")
    # A checkpoint that was read half written has another name for its part, and a kill in a transaction a journal.
    left = tmp_path / f".{out.name}.0123456789abcdef.part.setol{ending}"
    others = tmp_path / f".{out.name}.other.0123456789abcdef.part.setol{ending}"
    left.write_bytes(b"")
    others.write_bytes(b"")
    watch(run, out, once=True, settle=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == [others.name, out.name, "run"]
    # A kill between the last rows and the removal of their part; the part of a checkpoint to come stays.
    done = ww.open_results(out).records[0].identity["weights"]
    left.write_bytes(b"")
    left.with_name(left.name.replace("0123456789abcdef", done[:16])).write_bytes(b"")
    watch(run, out, once=True, settle=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([left.name, others.name, out.name, "run"])


def test_a_scan_that_was_killed_goes_on_and_those_of_other_weights_are_gone(tmp_path, monkeypatch):
    """A kill when a checkpoint is read and its rows are not kept yet: they are not computed again."""
    run, out = tmp_path / "run", tmp_path / "history.setol"
    run.mkdir()
    save_file(weights(0), run / "step0.safetensors")
    left = tmp_path / f".{out.name}.0123456789abcdef.part.setol"
    left.write_bytes(b"")
    real, found = ww.scan, []

    def killed(checkpoint: Path, part: Path, **told: object) -> None:
        found.append((left.exists(), part.exists()))
        real(checkpoint, part, **told)
        if len(found) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("setol_ww.monitor.folder.scan", killed)
    with pytest.raises(KeyboardInterrupt):
        watch(run, out, once=True, settle=0.01)
    assert rows_of(watch(run, out, once=True, settle=0.01)) == expected(0)
    assert found == [(False, False), (False, True)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "run"]


def test_other_options_do_not_go_on(tmp_path):
    save_file(weights(0), tmp_path / "step0.safetensors")
    (tmp_path / "out").mkdir()
    watch(tmp_path, tmp_path / "out" / "a.setol", once=True, settle=0.01)
    with pytest.raises(ww.InvalidInput, match="other options"):
        watch(tmp_path, tmp_path / "out" / "a.setol", once=True, settle=0.01, options=Options(randomize=True))


@pytest.mark.parametrize(
    "wrong, said", [({"every": 0}, "every=0"), ({"settle": True}, "settle=True"), ({"out": "a.txt"}, "endings")]
)
def test_what_is_not_accepted_is_said(wrong, said, tmp_path):
    with pytest.raises(ww.InvalidInput, match=said):
        watch(tmp_path, **{"once": True, **wrong})
    with pytest.raises(ww.InvalidInput, match="a folder that is there"):
        watch(tmp_path / "nowhere", once=True)


def test_the_command(tmp_path, capsys):
    save_file(weights(3), tmp_path / "step3.safetensors")
    (tmp_path / "step4.safetensors").write_bytes(b"nonsense" * 10)
    assert main(["watch", str(tmp_path), "--once", "--layers", "layers.0"]) == 0
    said = capsys.readouterr().out
    assert "step 3, step3.safetensors: 1 layers" in said
    assert "step4.safetensors is not read" in said
    assert "1 rows of 1 checkpoints." in said
    assert main(["watch", str(tmp_path / "nowhere"), "--once"]) == 2
    assert "nowhere" in capsys.readouterr().err


WRITER = """
import sys, time, pathlib
import numpy as np
from safetensors.numpy import save
run, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for step in range(steps):
    rng = np.random.default_rng(step)
    content = save({f"layers.{n}.weight": rng.normal(size=(50, 40)).astype(np.float32) for n in range(3)})
    folder = run / f"checkpoint-{step}"
    folder.mkdir()
    with open(folder / "model.safetensors", "wb") as file:
        for start in range(0, len(content), 4096):
            file.write(content[start : start + 4096])
            file.flush()
            time.sleep(0.01)
"""


#: The command, which does the checkpoint after its first new one too, and no more, however late it is killed.
WATCHER = """
import sys, time
from setol_ww.cli.main import main
from setol_ww.monitor import folder
plain, done = folder.watch, []
def watch(*asked, tell, **options):
    def telling(seen):
        done.append(seen) if isinstance(seen, folder.Seen) else None
        if len(done) > 1:
            time.sleep(600)
        tell(seen)
    return plain(*asked, tell=telling, **options)
folder.watch = watch
main(sys.argv[1:])
"""


def killed_after_a_checkpoint(asked: list[str], seconds: float) -> None:
    """Run the command until it says that a checkpoint is done and so much longer; then it is killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", WATCHER, *asked], env=environment, stdout=subprocess.PIPE, text=True
    ) as watcher:
        late = threading.Timer(600, watcher.kill)
        late.start()
        try:
            assert watcher.stdout is not None
            # Of one that rests half written while the machine has other work it says that it is not read.
            assert any(line.startswith("step ") for line in watcher.stdout), "it ended, or nothing came in ten minutes"
            time.sleep(seconds)
        finally:
            late.cancel()
            watcher.kill()


def test_killed_again_and_again_while_checkpoints_are_written(tmp_path):
    run, out, steps = tmp_path / "run", tmp_path / "history.setol", 4
    run.mkdir()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(run), str(steps)])
    kills, kept, partial = 0, 0, 0
    try:
        while kept < 3 * steps:
            # A little later each time: in the next one, in a write, in a pause.
            killed_after_a_checkpoint(["watch", str(run), "--out", str(out), "--every", "0.1"], 0.03 * kills)
            kills += 1
            found = len(ww.open_results(out).records)
            assert found % 3 == 0
            assert found > kept, "what was done before is done again"
            partial += found < 3 * steps
            kept = found
    finally:
        writer.kill()
        writer.wait()
    assert kills >= 2
    assert partial
    history = watch(run, out, once=True, settle=0.05)
    assert rows_of(history) == expected(*range(steps))
    for step in range(steps):
        direct = ww.scan(run / f"checkpoint-{step}")
        assert history.loc[history["step"] == step, "tail_alpha"].tolist() == direct["tail_alpha"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.setol", "run"]


def test_the_help_lists_the_endings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"the history: {', '.join(ENDINGS)} with the spectra, or a table: {', '.join(WRITERS)}" in said


def test_a_checkpoint_that_was_seen_in_words():
    """States counted, layers that moved named, four at most."""
    row = {"status": "analyzed", "setol_state": "ideal", "slice": "", "move": ""}
    rows = [
        {**row, "longname": "a"},
        {**row, "longname": "b", "setol_state": "under-trained"},
        {**row, "longname": "c"},
    ]
    skipped = {**row, "status": "skipped", "longname": "d", "move": "moved"}
    said = str(Seen(7, "step7.pt", (*rows, skipped), 1.26))
    assert said == "step 7, step7.pt: 3 layers in 1.3 s; 2 ideal, 1 under-trained"
    moved = [{**row, "longname": name, "slice": "q", "move": "moved"} for name in "abcde"]
    assert str(Seen(7, "x", tuple(moved[:4]), 1)).endswith("; alpha moved or leapt: a [q], b [q], c [q], d [q]")
    assert str(Seen(7, "x", tuple(moved), 1)).endswith("c [q], d [q], ...")
    assert str(Seen(7, "x", (), 0.04)) == "step 7, x: 0 layers in 0.0 s"


def test_a_checkpoint_without_the_layers_that_were_asked_is_told_and_passed(tmp_path):
    save_file({"other.weight": weights(1)["layers.0.weight"]}, tmp_path / "step1.safetensors")
    save_file(weights(2), tmp_path / "step2.safetensors")
    seen = []
    history = watch(tmp_path, once=True, settle=0.01, options=Options(layers=["layers.0"]), tell=seen.append)
    assert rows_of(history) == [(2, "layers.0")]
    assert seen[0].startswith("step1.safetensors is not read: layers=['layers.0']")
    assert [str(one).split(",")[0] for one in seen[1:]] == ["step 2"]
