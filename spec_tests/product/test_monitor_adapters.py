"""`Monitor` in the trainers and loggers that people have: the real libraries, offline, on tiny models."""

from __future__ import annotations

import importlib
import re
import struct
import sys
import time

import pytest
import torch

import setol_ww as ww
from setol_ww.monitor.history import history_of
from setol_ww.monitor.scalars import scalars_of

# They warn of their own future and of machines without accelerators.
pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 6


def net_of() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(60, 50), torch.nn.ReLU(), torch.nn.Linear(50, 40))


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def trained_by_transformers(folder, callbacks, *, resumed=False, **settings):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    transformers.set_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=32, n_positions=16, vocab_size=64)
    model = transformers.GPT2LMHeadModel(config)
    ids = torch.randint(0, 64, (24, 16), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": one, "labels": one} for one in ids]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
        **{"save_strategy": "no", **settings},
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resumed or None)
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_transformers_trainer(tmp_path):
    pytest.importorskip("transformers")
    from setol_ww.monitor.hf import SetolCallback

    alarms = []
    callback = SetolCallback(
        out=tmp_path / "run.setol",
        every=2,
        layers=["*attn*", "*mlp*"],
        time_budget=None,
        alarms={(lambda row: row["step"] >= 4): alarms.append},
    )
    weights = trained_by_transformers(tmp_path, [callback])
    history = history_of(ww.open_results(tmp_path / "run.setol"))
    assert sorted(set(history["step"])) == [1, 2, 4, 6]
    names = set(history["longname"])
    assert {"transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_fc"} <= names
    assert set(history["status"]) == {"analyzed"}
    assert len(alarms) == len(history[history["step"] == 4])
    assert same(weights, trained_by_transformers(tmp_path, []))


def test_a_killed_run_of_transformers_has_its_history_and_goes_on(tmp_path):
    pytest.importorskip("transformers")
    from setol_ww.monitor.hf import SetolCallback

    class Killed(Exception):
        pass

    def kill(alarm):
        raise Killed

    def callback(**settings):
        return SetolCallback(
            out=tmp_path / "run.setol", every=1, layers="*c_fc", time_budget=None, background=False, **settings
        )

    saving = {"save_strategy": "steps", "save_steps": 2, "save_only_model": False}
    at_4 = {"alarms": {(lambda row: row["step"] == 4): kill}}
    # Nothing of the library is called any more: what is on the disk is what a killed process leaves.
    with pytest.raises(Killed):
        trained_by_transformers(tmp_path, [callback(**at_4)], **saving)
    left = history_of(ww.open_results(tmp_path / "run.setol"))["step"].tolist()
    assert left[:2] == [1, 2]
    trained_by_transformers(tmp_path, [callback()], resumed=True, **saving)
    assert history_of(ww.open_results(tmp_path / "run.setol"))["step"].tolist() == [1, 2, 3, 4, 5, 6]


def trained_by_lightning(folder, callbacks):
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net_of()

        def training_step(self, batch, _):
            return self.net(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    lightning.seed_everything(0, verbose=False)
    module = Module()
    batches = torch.utils.data.DataLoader(torch.randn(STEPS * 8, 60), batch_size=8, shuffle=True)
    lightning.Trainer(
        max_epochs=1,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    ).fit(module, batches)
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_lightning_trainer(tmp_path):
    pytest.importorskip("lightning")
    from setol_ww.monitor.lightning import SetolCallback

    callback = SetolCallback(out=tmp_path / "run.csv", every=3, time_budget=None)
    weights = trained_by_lightning(tmp_path, [callback])
    table = ww.read_table(tmp_path / "run.csv")
    assert table[["step", "longname"]].values.tolist() == [
        [step, name] for step in (1, 3, 6) for name in ("net.0", "net.2")
    ]
    assert same(weights, trained_by_lightning(tmp_path, []))
    # A setting that is not accepted is said when training begins.
    with pytest.raises(ww.InvalidInput, match="every=0"):
        trained_by_lightning(tmp_path, [SetolCallback(every=0)])


def test_lightning_keeps_the_history_of_a_run_that_breaks(tmp_path):
    pytest.importorskip("lightning")
    from setol_ww.monitor.lightning import SetolCallback

    def stop(alarm):
        raise RuntimeError(str(alarm))

    callback = SetolCallback(
        out=tmp_path / "run.setol", every=1, time_budget=None, alarms={(lambda row: row["step"] == 3): stop}
    )
    with pytest.raises(RuntimeError, match="step 3"):
        trained_by_lightning(tmp_path, [callback])
    assert max(history_of(ww.open_results(tmp_path / "run.setol"))["step"]) == 3


def followed(log) -> ww.Monitor:
    net = net_of()
    monitor = ww.Monitor(net, every=5, time_budget=None, log=log)
    for step in range(11):
        with torch.no_grad():
            net[0].weight += 0.1 * torch.randn(50, 1) @ torch.randn(1, 60)
        monitor.step(step)
    return monitor


def test_tensorboard_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from setol_ww.monitor.tensorboard import TensorBoardLog

    log = TensorBoardLog(tmp_path)
    history = followed(log).history
    log.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert "setol/2/tail_alpha" in events.Tags()["scalars"]
    for (name,), rows in history.groupby(["longname"]):
        for column in ("tail_alpha", "erg_rank", "delta_lambda_min"):
            found = events.Scalars(f"setol/{name}/{column}")
            assert [one.step for one in found] == rows["step"].tolist() == [0, 5, 10]
            assert [one.value for one in found] == pytest.approx(rows[column].tolist(), rel=1e-6)


def test_a_writer_of_the_runs_own_is_left_open(tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    from setol_ww.monitor.tensorboard import TensorBoardLog

    writer = SummaryWriter(str(tmp_path))
    followed(TensorBoardLog(writer))
    writer.add_scalar("loss", 1.0, 0)
    writer.close()


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    import wandb

    from setol_ww.monitor.wandb import STEP, WandbLog

    with pytest.raises(ww.InvalidInput, match=r"wandb\.init"):
        WandbLog()
    with wandb.init(project="setol", dir=str(tmp_path), mode="offline") as run:
        run.log({"loss": 1.0})
        monitor = followed(WandbLog())
        run.log({"loss": 0.5})
        summary = {name: run.summary[name] for name in run.summary.keys()}
        (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    last = monitor.history.groupby("longname").last()
    assert summary["loss"] == 0.5
    assert summary[STEP] == 10
    for name, row in last.iterrows():
        assert summary[f"setol/{name}/tail_alpha"] == pytest.approx(row["tail_alpha"])
    logged = logged_in(next(folder.glob("*.wandb")), "setol/0/tail_alpha", 3)
    assert [one[STEP] for one in logged] == ["0", "5", "10"]
    expected = monitor.history.query("longname == '0'")["tail_alpha"]
    assert [float(one["setol/0/tail_alpha"]) for one in logged] == pytest.approx(expected.tolist())


def logged_in(file, name: str, number: int) -> list[dict[str, str]]:
    """The entries of a curve; a process of its own writes them, which may be behind on a busy machine."""
    for _ in range(120):
        found = [one for one in records_of(file) if name in one]
        if len(found) >= number:
            break
        time.sleep(0.5)
    return found


def records_of(file) -> list[dict[str, str]]:
    """What an offline run has logged, read back from its file."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for data in entries_of(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append({item.key or "/".join(item.nested_key): item.value_json for item in items})
    return found


def entries_of(content: bytes) -> list[bytes]:
    """The entries of a log in LevelDB's form: blocks of 32 KiB, pieces of checksum, length, kind, data."""
    at, block, entries, open_entry = 7, 32768, [], b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        if at + 7 + length > len(content):
            # It is being written.
            break
        open_entry += content[at + 7 : at + 7 + length]
        at += 7 + length
        # Whole, or the last piece.
        if kind in (1, 4):
            entries.append(open_entry)
            open_entry = b""
    return entries


@pytest.mark.parametrize(
    "adapter, module, install",
    [
        ("hf", "transformers", "'transformers[torch]'"),
        ("lightning", "lightning.pytorch", "lightning"),
        ("tensorboard", "torch.utils.tensorboard", "tensorboard"),
        ("wandb", "wandb", "wandb"),
    ],
)
def test_what_is_not_there_is_said(adapter, module, install, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"setol_ww.monitor.{adapter}", raising=False)
    told = f"setol_ww.monitor.{adapter} needs: pip install {install} (import of {module} halted; None in sys.modules)"
    with pytest.raises(ImportError, match=f"^{re.escape(told)}$"):
        importlib.import_module(f"setol_ww.monitor.{adapter}")


def test_adapters_are_found_by_their_names():
    pytest.importorskip("tensorboard")
    assert ww.monitor.tensorboard.TensorBoardLog.__module__ == "setol_ww.monitor.tensorboard"
    with pytest.raises(AttributeError, match="keras"):
        _ = ww.monitor.keras


def test_scalars_are_finite_numbers_by_layer_and_slice():
    row = {"step": 1, "longname": "attn", "slice": "q", "tail_alpha": 3.0, "erg_rank": 4, "seconds": 1.0, "move": ""}
    assert scalars_of(row) == {"setol/attn.q/tail_alpha": 3.0, "setol/attn.q/erg_rank": 4.0}
