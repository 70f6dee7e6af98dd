"""Chapter 5: weightwatcher's columns, column by column, beside plain weightwatcher."""

from __future__ import annotations

import copy
import functools
import math
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
import weightwatcher
from torch import nn

import setol_ww as ww
from fixtures.ensembles import signed_pareto_matrix
from setol_ww.layer.weightwatcher_columns import weightwatcher_norms
from spec_tests.plain import assert_same_columns, plain_analyze
from spec_tests.quietly import quiet


def heavy(module: nn.Module, seed: int) -> nn.Module:
    """A module whose weights have a tail, so that fits have something to find."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() >= 2:
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) ** 3 / 30)
    return module


def dense() -> nn.Module:
    return heavy(
        nn.Sequential(nn.Linear(120, 90), nn.ReLU(), nn.Linear(90, 60), nn.LayerNorm(60), nn.Linear(60, 10)), 0
    )


def convolutional() -> nn.Module:
    return heavy(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 1)), 1)


def embedding() -> nn.Module:
    return heavy(
        nn.ModuleDict({"tokens": nn.Embedding(500, 48), "up": nn.Linear(48, 96), "down": nn.Linear(96, 48)}), 2
    )


def mixed() -> nn.Module:
    model = heavy(nn.Sequential(nn.Linear(64, 80), nn.Linear(80, 64), nn.Linear(64, 48), nn.Embedding(90, 40)), 3)
    for module, dtype in zip(model, (torch.bfloat16, torch.float16, torch.float64, torch.float32)):
        module.to(dtype)
    return model


def deficient() -> nn.Module:
    model = heavy(nn.Sequential(nn.Linear(60, 60), nn.Linear(80, 40)), 4)
    with torch.no_grad():
        model[0].weight[:, 30:] = 0
        model[1].weight.copy_(torch.outer(torch.arange(40.0), torch.ones(80)) / 100 + model[1].weight[:1] / 10)
    return model


MODELS = {"dense": dense, "conv": convolutional, "embedding": embedding, "mixed": mixed, "deficient": deficient}


@functools.cache
def plain_table(name: str, *modes: str) -> pd.DataFrame:
    """weightwatcher's table of one of the models, once for both engines: its MP fits take seconds."""
    return plain_analyze(MODELS[name](), **dict.fromkeys(modes, True))


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_module(name, engine):
    theirs = plain_table(name, "detX")
    assert_same_columns(
        ww.analyze(MODELS[name](), detX=True, engine=engine), theirs, rtol=1e-9 if engine == "fast" else 0
    )


@pytest.mark.parametrize(
    ("name", "engine"),
    [("dense", "fast"), ("dense", "reference"), ("conv", "fast"), ("conv", "reference"), ("mixed", "fast")],
)
def test_random_and_marchenko_pastur_columns_follow_from_the_seed(name, engine):
    modes = ("detX", "randomize", "mp_fit")
    theirs = plain_table(name, *modes)
    assert {"rand_distance", "num_traps", "sigma_mp"} <= set(theirs)
    ours = ww.analyze(MODELS[name](), engine=engine, **dict.fromkeys(modes, True))
    assert_same_columns(ours, theirs, rtol=1e-9 if engine == "fast" else 0)


@pytest.mark.parametrize(
    "options",
    [
        {"pool": False},
        {"vectors": True},
        {"layers": [1, 3]},
        {"layers": [-1]},
        {"layers": ["dense"]},
        {"ERG": True},
        {"start_ids": 1},
        {"min_evals": 20, "max_evals": 200},
        {"conv2d_norm": False},
        {"tolerance": 0.1},
        {"inverse": True},
        {"xmax": -2},
        {"fix_fingers": "clip_xmax"},
        {"svd_method": "accurate"},
        {"stacked": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_options(name, options):
    theirs = plain_analyze(MODELS[name](), **options)
    ours = ww.WeightWatcher(MODELS[name]())
    known = {*theirs.get("layer_id", ()), *theirs.get("layer_type", ())}
    if not {which for which in options.get("layers", ()) if which != -1} <= known:
        # weightwatcher says nothing where layers= names nothing.
        with pytest.raises(ww.InvalidInput, match="nothing here is called"):
            ours.analyze(**options)
        return
    assert_same_columns(ours.analyze(**options), theirs)


def small() -> nn.Module:
    """A layer of each kind, quick in every mode."""
    return heavy(nn.Sequential(nn.Linear(60, 40), nn.Conv2d(6, 9, 3), nn.Embedding(50, 25), nn.Linear(40, 30)), 5)


SETS = [
    {},
    *[{"detX": True}, {"ERG": True}, {"detX": True, "ERG": True}, {"randomize": True}],
    *[{"layers": [1]}, {"layers": [2, 3]}, {"layers": [-1]}, {"layers": ["dense"]}, {"layers": ["embedding"]}],
    *[{"layers": "conv2d"}, {"layers": 2}, {"layers": [4, 1]}],
    *[
        {"min_evals": 30},
        {"max_evals": 30},
        {"max_N": 20_000},
        {"min_size": 30},
        {"max_size": 30},
        {"max_evals": 10_000},
    ],
    *[{"glorot_fix": True}, {"conv2d_norm": False}, {"pool": False}, {"ww2x": True}, {"conv2d_fft": True}],
    *[{"pool": False, "detX": True}, {"pool": False, "randomize": True}, {"ww2x": True, "detX": True}],
    *[{"vectors": True}, {"deltas": True}, {"savefig": False}, {"mp_fit": True}, {"mp_fit": True, "pool": False}],
    *[{"stacked": True}, {"intra": True}, {"intra": True, "sparsify": False}, {"inverse": True}, {"peft": True}],
    *[{"start_ids": 1}, {"start_ids": 1, "layers": [2]}, {"svd_method": "accurate"}, {"svd_method": "fast"}],
    *[{"tolerance": 0.1}, {"xmax": -1}, {"xmax": -2}, {"fix_fingers": "clip_xmax"}],
    *[{"fix_fingers": "clip_xmax", "max_fingers": 3}, {"fix_fingers": "clip_xmax", "finger_thresh": 0.5}],
    *[{"fit": "PL"}, {"fit": "power_law"}, {"randomize": True, "detX": True, "layers": ["dense"]}],
]


@pytest.mark.parametrize("options", SETS, ids=str)
def test_sets_of_options_side_by_side(options):
    model = small()
    theirs = plain_analyze(copy.deepcopy(model), **options)
    ours = ww.WeightWatcher(model)
    table = ours.analyze(**options)
    if not len(theirs):
        assert table.empty or (table["row_origin"] == "setol_ww").all()
        return
    assert_same_columns(table, theirs)
    unasked = {"detX_num", "num_ERG_spikes", "ERG_gap", "detX_val", "detX_val_unrescaled"}
    ours_alone = {*table} - {*theirs} - unasked
    assert not ours_alone & {*SUMMARY_KEYS, "rand_distance", "sigma_mp", "slice_id", "Xflag", "peft"}
    summary = plain_summary(theirs)
    assert {name: ours.get_summary()[name] for name in summary} == pytest.approx(summary, rel=1e-9)


SUMMARY_KEYS = ("log_norm", "alpha", "alpha_weighted", "log_alpha_norm", "log_spectral_norm", "stable_rank")


def plain_summary(table):
    """weightwatcher's summary of a table of its own, without the -1 of fits that failed."""
    with quiet(0):
        sound = table[table["status"] == "success"]
        assert len(sound) == len(table) or {"alpha"} <= set(table)
        means = weightwatcher.WeightWatcher().get_summary(table)
        of_fits = weightwatcher.WeightWatcher().get_summary(sound)
    kept = {**means, **{name: of_fits[name] for name in ("alpha", "alpha_weighted", "log_alpha_norm")}}
    return {name: value for name, value in kept.items() if np.isfinite(value)}


@pytest.mark.parametrize(
    "options",
    [
        *[{"fft": True}, {"channels": "last"}, {"fit": "nonsense"}, {"svd_method": "x"}, {"max_N": 50}],
        {"conv2d_fft": True, "pool": False},
    ],
    ids=str,
)
def test_what_weightwatcher_cannot_do_is_refused_by_name(options):
    with pytest.raises(Exception):  # noqa: B017, PT011
        plain_analyze(small(), **options)
    name = next(iter(options))
    with pytest.raises(ww.InvalidInput, match=name):
        ww.WeightWatcher(small()).analyze(**options)


def test_pictures_are_weightwatchers(tmp_path):
    model = heavy(nn.Linear(40, 30), 0)
    options = {"plot": True, "randomize": True, "mp_fit": True, "deltas": True, "vectors": True, "detX": True}
    theirs = plain_analyze(copy.deepcopy(model), savefig=str(tmp_path / "theirs"), **options)
    ours = ww.analyze(model, savefig=str(tmp_path / "ours"), **options)
    assert_same_columns(ours, theirs)
    names = [sorted(file.name for file in (tmp_path / one).iterdir()) for one in ("ours", "theirs")]
    assert names[0] == names[1]
    assert len(names[0]) > 8


@pytest.mark.parametrize(
    "options",
    [
        {"fit": "TPL", "pl_package": "powerlaw"},
        {"fit": "E_TPL", "pl_package": "powerlaw"},
        {"pl_package": "powerlaw"},
        {"pl_package": "powerlaw", "xmax": "force"},
        {"pl_package": "powerlaw", "fix_fingers": "xmin_peak"},
    ],
    ids=str,
)
def test_fits_that_need_powerlaw_below_two_work(options):
    """With powerlaw 2 each of these fails inside weightwatcher and comes out as alpha = -1."""
    model = nn.Linear(60, 40, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(signed_pareto_matrix(40, 60, 1.5, seed=0)))
    ours = ww.analyze(model, **options)
    assert ours["status"].tolist() == ["success"]
    assert ours["alpha"].iloc[0] > 1
    if "TPL" in options.get("fit", ""):
        assert ours["Lambda"].iloc[0] > 0
    assert_same_columns(ours, plain_analyze(model, detX=True, **options))


def test_state_dict_and_numpy_mapping():
    state = {name: tensor for name, tensor in convolutional().state_dict().items()}
    theirs = plain_analyze(OrderedDict(state), detX=True)
    assert_same_columns(ww.analyze(state), theirs)
    assert_same_columns(ww.analyze({name: tensor.numpy() for name, tensor in state.items()}), theirs)
    assert_same_columns(ww.analyze({"state_dict": state}), theirs)
    assert_same_columns(
        ww.analyze(dict(convolutional().named_parameters())),
        theirs.iloc[:3].assign(layer_id=ww.analyze(dict(convolutional().named_parameters()))["layer_id"]),
    )


def test_base_model_is_heeded_whoever_holds_the_model():
    """weightwatcher ignores `analyze(base_model=)` when the model was given to the constructor."""
    tuned, base = dense(), heavy(dense(), 9)
    theirs = plain_analyze(tuned, base_model=base, detX=True, to_constructor=("base_model",))
    first = ww.analyze(tuned, base_model=base)
    second = ww.WeightWatcher(tuned).analyze(base_model=base, detX=True)
    assert_same_columns(first, theirs)
    np.testing.assert_allclose(first["alpha"], second["alpha"])
    assert not np.allclose(first["alpha"], ww.analyze(tuned)["alpha"])


def test_positional_arguments_as_weightwatcher_takes_them():
    theirs = plain_analyze(dense(), layers=[1], min_evals=10)
    assert_same_columns(ww.WeightWatcher().analyze(dense(), [1], 10), theirs)


def test_resnet20(data):
    checkpoint = torch.load(data / "resnet_cifar10" / "resnet20-12fca82f.th", map_location="cpu", weights_only=True)
    theirs = plain_analyze(checkpoint["state_dict"], detX=True, randomize=True)
    assert len(theirs) == 20
    assert_same_columns(ww.analyze(checkpoint, randomize=True), theirs)
    reference = ww.analyze(checkpoint, randomize=True, engine="reference")
    assert_same_columns(reference, theirs, rtol=0)


def test_silero_in_weightwatchers_terms(data):
    """weightwatcher sees no 3-D kernel and no gate; told the same as Conv2d and dense layers it agrees with us."""
    ours = ww.analyze(data / "transformers" / "silero_vad_16k.safetensors")
    from safetensors.torch import load_file

    tensors = load_file(data / "transformers" / "silero_vad_16k.safetensors")
    rewritten = OrderedDict()
    for name in ("conv1", "conv2", "conv3", "conv4"):
        rewritten[f"{name}.weight"] = tensors[f"{name}.weight"].unsqueeze(-1)
    for name in ("lstm_cell.weight_hh", "lstm_cell.weight_ih"):
        for gate, part in zip("ifgo", tensors[name].chunk(4)):
            rewritten[f"{name} [{gate}].weight"] = part
    theirs = plain_analyze(rewritten, detX=True).set_index("longname")
    ours.index = [name + (f" [{part}]" if part else "") for name, part in zip(ours["longname"], ours["slice"])]
    for column in ("alpha", "xmin", "D", "sigma", "detX_num", "lambda_max", "norm", "entropy", "matrix_rank", "N", "M"):
        np.testing.assert_allclose(
            ours.loc[theirs.index, column].astype(float), theirs[column].astype(float), rtol=1e-9, err_msg=column
        )
    # The last convolution has one output and one tap: a vector, which has no row.
    assert set(ours.index) - set(theirs.index) == {"stft_conv"}


def test_stories_in_weightwatchers_terms(data):
    """Stacked layers and names without `.weight`: weightwatcher fails on the file as it is."""
    ours = ww.analyze(data / "transformers" / "stories260K.npz")
    arrays = np.load(data / "transformers" / "stories260K.npz")
    rewritten = OrderedDict()
    for name in arrays.files:
        array = arrays[name]
        if array.ndim == 3:
            rewritten.update({f"{name} [{layer}].weight": torch.from_numpy(array[layer]) for layer in range(5)})
        elif array.ndim == 2:
            rewritten[f"{name}.weight"] = torch.from_numpy(array)
    theirs = plain_analyze(rewritten, detX=True).set_index("longname")
    ours.index = [name + (f" [{part}]" if part else "") for name, part in zip(ours["longname"], ours["slice"])]
    shared = [name for name in theirs.index if theirs.loc[name, "num_evals"] >= 8]
    for column in ("alpha", "xmin", "D", "sigma", "detX_num", "lambda_max", "norm", "entropy", "matrix_rank"):
        np.testing.assert_allclose(
            ours.loc[shared, column].astype(float), theirs.loc[shared, column].astype(float), rtol=1e-9, err_msg=column
        )
    assert len(shared) >= 36


def test_summary_is_weightwatchers_where_all_fits_are_sound():
    model = dense()
    with quiet(0):
        plain = weightwatcher.WeightWatcher(model=model)
        plain.analyze()
        theirs = plain.get_summary()
    watcher = ww.WeightWatcher(model)
    watcher.analyze(detX=True)
    ours = watcher.get_summary()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-9)
    assert {"tail_alpha", "delta_lambda_min", "erg_metric"} <= set(ours)


def test_failed_fits_enter_no_mean():
    model = nn.Sequential(nn.Linear(60, 40), nn.Linear(30, 30))
    with torch.no_grad():
        model[1].weight.zero_()
    watcher = ww.WeightWatcher(model)
    details = watcher.analyze(detX=True)
    assert details["alpha"].tolist()[1] == -1
    assert watcher.get_summary()["alpha"] == details["alpha"].iloc[0]
    assert all(np.isfinite(value) for value in watcher.get_summary().values())


@pytest.mark.parametrize("values", [[1.0, 3.0], [1.0, 1.0, 1.0], [0.0, 0.5, 2.0, 9.0]])
def test_the_entropy_to_the_last_of_its_digits(values):
    """In exact words of WeightWatcher's `matrix_entropy`, its 1e-10 in both places."""
    spectrum = ww.Spectrum.from_eigenvalues(values)
    rank = sum(value > 0 for value in values)
    shares = [value / sum(values) + 1e-10 for value in values]
    entropy = -sum(p * math.log(p) for p in shares) / math.log(rank + 1e-10)
    assert weightwatcher_norms(spectrum)["entropy"] == pytest.approx(entropy, rel=1e-14)
