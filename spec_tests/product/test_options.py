"""Chapter 14: one set of options for every entry point."""

from __future__ import annotations

import argparse
import io
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import setol_ww as ww
from setol_ww.cli import demo
from setol_ww.cli.main import main
from setol_ww.core.options import Options, add_flags, from_flags, names, parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": [1.5]}, r"layers=\[1.5\] was asked; accepted are names"),
        ({"layers": True}, "layers=True was asked"),
        ({"layers": 2.5}, "layers=2.5 was asked"),
        ({"randomize": "yes"}, "randomize='yes' was asked; accepted is one of True, False"),
        ({"quality": None}, "quality=None was asked"),
        ({"detX": 2}, "detX=2 was asked"),
        ({"farms": "no"}, "farms='no' was asked"),
        ({"seed": -1}, "seed=-1 was asked"),
        ({"seed": True}, "seed=True was asked"),
        ({"uncertainty": -1}, "uncertainty=-1 was asked; accepted is a number of resamplings, 0 or more"),
        ({"uncertainty": True}, "uncertainty=True was asked"),
        ({"n_jobs": 0}, "n_jobs=0 was asked; accepted is an integer other than 0"),
        ({"n_jobs": 1.5}, "n_jobs=1.5 was asked"),
        ({"device": 3}, "device=3 was asked; accepted is one of 'cpu', 'cuda'"),
        ({"device": ""}, "device='' was asked"),
        ({"progress": "loud"}, "progress='loud' was asked"),
        ({"layouts": ["a"]}, r"layouts=\['a'\] was asked; accepted is a mapping"),
        ({"layouts": {"a": 3}}, "layouts=.* was asked; accepted is a mapping"),
    ],
)
def test_what_is_not_accepted_is_repeated_with_what_is(given, message):
    with pytest.raises(ww.InvalidInput, match=message):
        Options(**given)
    with pytest.raises(ww.InvalidInput, match=message):
        Options().changed(**given)


def test_words_numbers_and_nothing_are_layers():
    assert Options(layers="fc").layers == ("fc",)
    assert Options(layers=-3).layers == (-3,)
    assert Options(layers=["fc*", np.int64(2)]).layers == ("fc*", 2)
    assert Options(layers=None).layers == Options(layers=[]).layers == ()
    assert type(Options(layers=[np.int64(2)]).layers[0]) is int


def test_the_key_has_what_changes_numbers_and_nothing_else():
    plain = Options().key()
    assert json.loads(json.dumps(plain)) == plain
    assert set(names()) - set(plain) == {"n_jobs", "progress"}
    others = {
        **{"layers": "a", "randomize": True, "seed": 1, "detX": False, "quality": False, "uncertainty": 9},
        **{"farms": True, "device": "cuda", "layouts": {"a": "skip"}, "n_jobs": 4, "progress": True},
    }
    assert set(others) == set(names())
    for name, value in others.items():
        assert (Options(**{name: value}).key() == plain) == (name in ("n_jobs", "progress")), name


def test_there_and_back():
    options = Options(layers=["fc", 3], layouts={"a": "qkv:1,2"}, seed=4, progress=False)
    assert Options.from_dict(json.loads(json.dumps(options.as_dict()))) == options
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(ww.InvalidInput, match="the option 'sede' was asked; accepted are layers, randomize, seed"):
        Options.from_dict({"sede": 1})


def test_flags_of_every_option():
    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert from_flags(parser.parse_args([])) == Options()
    told = [
        *["--layers", "fc*", "--layers", "-3", "--randomize", "--seed", "4", "--no-detX", "--no-quality"],
        *["--uncertainty", "20", "--farms", "--device", "cuda", "--jobs", "-1", "--quiet"],
        *["--layout", "*.qkv=qkv:1,2", "--layout", "c=rows:a=1,b=2"],
    ]
    assert from_flags(parser.parse_args(told)) == Options(
        **{"layers": ["fc*", "-3"], "randomize": True, "seed": 4, "detX": False, "quality": False, "uncertainty": 20},
        **{"farms": True, "device": "cuda", "n_jobs": -1, "progress": False},
        layouts={"*.qkv": "qkv:1,2", "c": "rows:a=1,b=2"},
    )
    with pytest.raises(ww.InvalidInput, match="--layout 'a' was asked; accepted is PATTERN=WHAT"):
        from_flags(parser.parse_args(["--layout", "a"]))
    shown = parser.format_help()
    assert "do not add the columns of the layer quality" in " ".join(shown.split())


def test_some_flags_only_and_documentation_of_each():
    parser = argparse.ArgumentParser()
    add_flags(parser, "seed", "layers")
    with pytest.raises(SystemExit):
        parser.parse_args(["--farms"])
    text = parameters()
    assert all(f"    {name} : " in text for name in names())
    assert max(map(len, text.split("\n"))) <= 120
    with pytest.raises(ww.InvalidInput, match="the option 'colour' was asked"):
        parameters("colour")


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (["PATH", "--layers", "-fc*"], ["7", "conv"]),
        (["--layers", "dense", "-fc2", "PATH"], ["7", "fc1"]),
        (["--layers", "-fc1", "-fc2", "-conv", "PATH"], ["7"]),
        (["PATH", "--layers=-dense"], ["conv"]),
        (["--layers", "conv*", "--", "PATH"], ["conv"]),
        # The layer called 7, as in Python; no layer is called 2.
        (["PATH", "--layers", "7"], ["7"]),
        (["PATH", "--layers", "-7", "-2"], ["fc1", "fc2"]),
    ],
)
def test_the_command_line_speaks_the_dialect_of_layers(tmp_path, capsys, told, names):
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": rng.normal(size=(12, 8)) for name in ("7", "conv", "fc1", "fc2")}
    weights["conv.weight"] = rng.normal(size=(6, 4, 3, 3))
    path = str(tmp_path / "net.npz")
    np.savez(path, **weights)
    words = ["analyze", "--quiet", "--out", "-", *(path if word == "PATH" else word for word in told)]
    assert main(words) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"longname": str})
    assert sorted(frame["longname"]) == names
    asked = [word.removeprefix("--layers=") for word in told if word not in ("PATH", "--", "--layers")]
    assert sorted(ww.analyze(path, layers=asked, progress=False)["longname"]) == names


@pytest.mark.parametrize("rest", [[], ["--quiet"]])
def test_layers_without_a_word_is_refused(tmp_path, capsys, rest):
    with pytest.raises(SystemExit, match="2"):
        main(["analyze", str(tmp_path), "--layers", *rest])
    assert "--layers: expected at least one argument" in capsys.readouterr().err


# Every option in every way.

WAYS = {
    "layers": ["fc*", "-fc2"],
    "randomize": True,
    "seed": 3,
    "detX": False,
    "quality": False,
    "uncertainty": 4,
    "farms": True,
    "device": "cpu",
    "n_jobs": 2,
    "layouts": {"fc1.weight": "qkv:20,20,20"},
    "progress": False,
}
FLAGS = {
    **{"layers": ["--layers", "fc*", "--layers=-fc2"], "randomize": ["--randomize"], "seed": ["--seed", "3"]},
    **{"detX": ["--no-detX"], "quality": ["--no-quality"], "uncertainty": ["--uncertainty", "4"]},
    **{"farms": ["--farms"], "device": ["--device", "cpu"], "n_jobs": ["--jobs", "2"], "progress": ["--quiet"]},
    "layouts": ["--layout", "fc1.weight=qkv:20,20,20"],
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("options") / "m.npz"
    sizes = {"fc1": (60, 30), "fc2": (40, 50), "head": (45, 36)}
    # Single precision, so that weightwatcher reads what is stored.
    np.savez(path, **{f"{one}.weight": generator.standard_t(3, size).astype(np.float32) for one, size in sizes.items()})
    return path


def test_there_is_a_value_and_a_flag_of_every_option():
    assert set(WAYS) == set(FLAGS) == set(names())


@pytest.mark.parametrize("name", WAYS)
def test_an_option_gives_the_same_in_every_way(name, checkpoint, tmp_path, capsys):
    """analyze, examine, a watcher, scan, a kept store and the command line, each column that two of them have."""
    option = {name: WAYS[name]}
    tables = {
        "analyze": ww.analyze(checkpoint, **option),
        "examine": ww.examine(checkpoint, **option).table(),
        "watcher": ww.WeightWatcher(checkpoint).analyze(**option),
        "scan": ww.scan(checkpoint, tmp_path / "scan.setol", **option),
    }
    tables["store"] = ww.open_results(tmp_path / "scan.setol").table()
    for command in ("scan", "analyze"):
        out = tmp_path / f"{command}.parquet"
        assert main([command, str(checkpoint), "--out", str(out), *FLAGS[name]]) == 0
        tables[f"command {command}"] = ww.read_table(out)
    capsys.readouterr()
    plain = ww.analyze(checkpoint)
    first = tables["analyze"].set_index(["longname", "slice"])
    for way, table in tables.items():
        rows = table[table["status"] != "skipped"].set_index(["longname", "slice"])
        assert set(rows.index) == set(first.index), way
        rows = rows.loc[first.index]
        # A scan has no count of weightwatcher's, whose error that column is.
        left_out = ("status", "reason", "detX_num_error")
        shared = [column for column in rows if column in first and column not in left_out]
        ours = {column for column in first if column.startswith(("erg", "tail", "q2", "trap", "farms", "setol"))}
        assert ours <= {*shared, *left_out}, way
        for column in shared:
            one, other = first[column], rows[column]
            if one.dtype.kind in "fi" and other.dtype.kind in "fi":
                np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9 * (column == "sv_min"), err_msg=column)
            else:
                assert one.fillna("").tolist() == other.fillna("").tolist(), (way, column)
    # The option does something, but for those that change the time alone, and the default and what needs shuffles.
    if name not in ("n_jobs", "progress", "device", "seed", "uncertainty"):
        assert not tables["analyze"].equals(plain)


def test_the_seed_reaches_the_shuffles_of_every_way(checkpoint):
    for way in (ww.analyze, ww.scan):
        tables = {seed: way(checkpoint, randomize=True, seed=seed) for seed in (0, 1)}
        assert not tables[0]["trap_lambda_max"].equals(tables[1]["trap_lambda_max"])
        assert way(checkpoint, randomize=True, seed=1).equals(tables[1])


@pytest.mark.parametrize("name", [name for name in WAYS if name not in ("n_jobs", "progress", "device")])
def test_a_store_of_other_options_is_not_gone_on_with(name, checkpoint, tmp_path):
    ww.scan(checkpoint, tmp_path / "a.setol")
    with pytest.raises(ww.InvalidInput, match=r"another checkpoint or other options \(\w+ was .*, now "):
        ww.scan(checkpoint, tmp_path / "a.setol", **{name: WAYS[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", "yes"),
        ("detX", 2),
        ("farms", None),
        ("uncertainty", -1),
        ("layouts", ["a"]),
        ("layouts", {"x": "skip"}),
    ],
)
@pytest.mark.parametrize("way", [ww.analyze, ww.examine, ww.scan])
def test_a_word_that_is_none_is_refused_in_every_way(way, name, value, checkpoint):
    with pytest.raises(ww.InvalidInput, match=f"{name}=.* was asked"):
        way(checkpoint, **{name: value})


def test_a_summary_of_kept_results_refuses_what_it_cannot_serve(tmp_path, capsys):
    path = str(tmp_path / "a.setol")
    ww.examine({"fc.weight": np.random.default_rng(0).normal(size=(30, 20))}, progress=False).save(path)
    assert main(["summary", path, "--quiet"]) == 0
    for told, name in ((["--randomize"], "randomize"), (["--layers", "fc"], "layers"), (["--seed", "0"], "seed")):
        assert main(["summary", path, *told]) == 2
        assert f"{name} was asked of the kept results" in capsys.readouterr().err


def test_too_many_places_are_refused_in_words():
    with pytest.raises(ww.InvalidInput, match=r"do not fit .*accepted are, in this order, \['model'"):
        ww.WeightWatcher(model=torch.nn.Linear(9, 8)).analyze(*[None] * 99)


@pytest.mark.parametrize(
    "wrong",
    [{"uncertainty": -1}, {"uncertainty": 1.0}, {"uncertainty": True}, {"seed": -1}, {"seed": "0"}, {"sigmas": 0}],
)
def test_settings_of_one_spectrum_are_refused_in_words(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ww.InvalidInput, match=f"{name}={value!r} was asked; accepted is a"):
        ww.Settings(**wrong)
    assert ww.Settings(uncertainty=0, seed=5) == ww.Settings()
    assert ww.Settings(uncertainty=1, seed=5).seed == 5


def test_a_table_of_one_file_is_not_headed_by_its_path(tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.npz") for name in "ab"]
    for path in paths:
        np.savez(path, w=np.random.default_rng(0).normal(size=(30, 20)))
    assert main(["analyze", paths[0]]) == 0
    assert paths[0] not in capsys.readouterr().out
    assert main(["analyze", *paths]) == 0
    said = capsys.readouterr().out.split("\n")
    assert [path in said for path in paths] == [True, True]


def test_the_demo_says_on_which_side_its_numbers_are():
    for alpha, delta, side, start in ((1.99, -0.1, "below", "below"), (2.0, 0.0, "not below", "not below")):
        said = demo._why_over({"tail_alpha": alpha, "delta_lambda_min": delta})
        assert said.startswith(
            f"Its alpha = {alpha:.2f} is the smallest, {side} 2, and its power-law tail starts {start} the ERG tail;"
        )


def test_the_demo_names_a_layer_for_each_state():
    frame = pd.DataFrame(
        {
            "longname": ["a", "b", "c", "d"],
            "tail_outcome": ["ok", "ok", "ok", "flat"],
            "tail_alpha": [2.05, 7.5, 1.5, 1.0],
            "tail_sigma": [0.1, 0.2, 0.1, 0.1],
            "tail_rank": [50, 9, 60, 3],
            "erg_rank": [50, 40, 30, 3],
            "erg_metric": [0.01, 0.3, -0.2, 0.0],
            "delta_lambda_min": [0.0, 1.0, -0.3, 0.0],
            "setol_state": ["ideal", "under-trained", "short-of-ideal", "ideal"],
            "setol_reason": ["because a", "because b", "because c", "because d"],
        }
    )
    said = demo._in_words(frame)
    assert [line.split(". ")[0] for line in said] == [
        "Nearest to ideal: a",
        "Nearest to under-trained: b",
        "Nearest to over-regularized: c",
    ]
    assert said[0].endswith("because a")
    assert "Its state is short-of-ideal, not yet over-regularized. because c" in said[2]
