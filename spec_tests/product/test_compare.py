"""Two models compared: what changed, beyond which error, where the update lies, and what could not be compared."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import setol_ww as ww
from fixtures import updates
from fixtures.oracles import block_diagonal
from setol_ww.advice.pairing import paired
from setol_ww.advice.update import SAME, UPDATE_COLUMNS
from setol_ww.cli.main import main
from setol_ww.formats.steps import step_of

SHAPES = {"a": (70, 40), "b": (40, 70), "c": (50, 50)}


@pytest.fixture(scope="module")
def base():
    return {f"layers.{name}.weight": updates.heavy_matrix(*shape, seed=7) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def tuned(base):
    rng = np.random.default_rng(3)
    return {name: W + 0.3 * np.abs(W).mean() * rng.normal(size=W.shape) for name, W in base.items()}


@pytest.fixture(scope="module")
def compared(base, tuned):
    return ww.compare(base, tuned, uncertainty=60)


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[name for name in frame if name.startswith("d_")]]


def test_a_model_and_itself_do_not_differ(base):
    found = ww.compare(base, base, uncertainty=40)
    table = found.table()
    moved = differences(table)
    assert not moved[[name for name in moved if name.endswith("_beyond")]].any(axis=None)
    plain = moved[[name for name in moved if not name.endswith(("_error", "_beyond"))]]
    assert np.all((plain == 0) | plain.isna())
    assert table["update_norm_share"].tolist() == [0.0] * 3
    assert table["update_reason"].tolist() == [SAME] * 3
    assert table["ecs_angle_left"].tolist() == [0.0] * 3
    assert table["update_stable_rank"].isna().all()
    assert not any(table["state_change"])
    said = str(found.summary())
    assert "3 are the same, bit for bit" in said
    assert "no layer's spectrum can be told from before" in said


def test_turned_around_every_difference_changes_its_sign(base, tuned, compared):
    here, there = differences(compared.table()), differences(ww.compare(tuned, base, uncertainty=60).table())
    for name in here:
        sign = 1 if name.endswith(("_error", "_beyond")) else -1
        np.testing.assert_array_equal(here[name], sign * there[name], err_msg=name)
    assert {"d_tail_alpha_error", "d_delta_lambda_min_error", "d_q2_norm_beyond"} < set(here)


def test_columns_are_those_of_both_scans_and_the_error_is_half_of_both_intervals(base, tuned, compared, tmp_path):
    table = compared.table()
    for suffix, model in (("base", base), ("tuned", tuned)):
        np.savez(tmp_path / f"{suffix}.npz", **model)
        scanned = ww.scan(tmp_path / f"{suffix}.npz", uncertainty=60)
        for name in ("alpha", "tail_alpha", "erg_rank", "q2_norm", "tail_alpha_low", "setol_state", "stable_rank"):
            assert table[f"{name}_{suffix}"].tolist() == scanned[name].tolist()
    row = table.iloc[0]
    assert row["d_tail_alpha"] == row["tail_alpha_tuned"] - row["tail_alpha_base"]
    near = (
        (row["tail_alpha_high_tuned"] - row["tail_alpha_tuned"], row["tail_alpha_base"] - row["tail_alpha_low_base"])
        if row["d_tail_alpha"] <= 0
        else (
            row["tail_alpha_tuned"] - row["tail_alpha_low_tuned"],
            row["tail_alpha_high_base"] - row["tail_alpha_base"],
        )
    )
    assert row["d_tail_alpha_error"] == pytest.approx(math.hypot(*near))
    assert row["d_tail_alpha_beyond"] == (abs(row["d_tail_alpha"]) > row["d_tail_alpha_error"])


def test_a_change_is_beyond_its_error_when_it_is_large_and_only_then(base):
    heavier = {name: updates.heavy_matrix(*W.shape, seed=8, exponent=1.7) for name, W in base.items()}
    other = {name: updates.heavy_matrix(*W.shape, seed=8) for name, W in base.items()}
    assert ww.compare(base, heavier, uncertainty=60, update=False).table()["d_tail_alpha_beyond"].all()
    assert not ww.compare(base, other, uncertainty=60, update=False).table()["d_tail_alpha_beyond"].any()


def test_the_update_is_where_the_decomposition_written_out_says(base, tuned, compared):
    table = compared.table().set_index("longname")
    for name, W in base.items():
        row = table.loc[name.removesuffix(".weight")]
        truth = updates.place(W, tuned[name], int(row["erg_rank_base"]), int(row["erg_rank_tuned"]))
        assert row["update_in_base_ecs"] == pytest.approx(truth.both, rel=1e-9)
        assert row["update_in_base_ecs_left"] == pytest.approx(truth.left, rel=1e-9)
        assert row["update_in_base_ecs_right"] == pytest.approx(truth.right, rel=1e-9)
        assert row["ecs_overlap_left"] == pytest.approx(truth.overlap_left, rel=1e-9)
        assert row["ecs_overlap_right"] == pytest.approx(truth.overlap_right, rel=1e-9)
        assert row["ecs_angle_left"] == pytest.approx(truth.angle_left, rel=1e-6)
        assert row["ecs_angle_right"] == pytest.approx(truth.angle_right, rel=1e-6)
        D = tuned[name] - W
        assert row["update_norm_share"] == pytest.approx(np.linalg.norm(D) / np.linalg.norm(W), rel=1e-12)
        assert row["update_stable_rank"] == pytest.approx(np.sum(D**2) / np.linalg.norm(D, 2) ** 2, rel=1e-9)
        alone = ww.Spectrum.from_matrix(D)
        assert row["update_alpha"] == ww.fit_tail(alone).alpha
        assert row["update_erg_rank"] == ww.erg_cut(alone).rank


@settings(max_examples=20, deadline=None)
@given(
    rank=st.integers(1, 6),
    inside=st.booleans(),
    shape=st.sampled_from([(90, 60), (60, 90), (70, 70)]),
    dtype=st.sampled_from(["float64", "float32", "bfloat16"]),
    seed=st.integers(0, 99),
)
def test_a_planted_update_is_found_with_its_rank_and_place(rank, inside, shape, dtype, seed):
    W = updates.heavy_matrix(*shape, seed=seed)
    stored = torch.from_numpy(W).to(getattr(torch, dtype))
    ecs_rank = ww.erg_cut(ww.Spectrum.from_matrix(stored)).rank
    D = updates.planted(stored.double().numpy(), rank, ecs_rank, inside=inside, size=0.3, seed=seed)
    after = (stored.double() + torch.from_numpy(D)).to(stored.dtype)
    row = ww.compare({"fc.weight": stored}, {"fc.weight": after}).table().iloc[0]
    assert row["update_rank"] == rank
    found = [row[f"update_in_base_ecs{side}"] for side in ("", "_left", "_right")]
    assert np.allclose(found, 1.0 if inside else 0.0, atol={"float64": 1e-9, "float32": 1e-6, "bfloat16": 2e-3}[dtype])


def test_slices_are_one_block_diagonal_matrix():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(12, 9, 2, 2)) * np.array([1.0, 2.0, 0.5, 3.0]).reshape(2, 2)
    after = kernel + 0.3 * rng.normal(size=kernel.shape)
    row = ww.compare({"conv.weight": kernel}, {"conv.weight": after}).table().iloc[0]
    whole, changed = (block_diagonal([one[:, :, i, j] for i in range(2) for j in range(2)]) for one in (kernel, after))
    truth = updates.place(whole, changed, int(row["erg_rank_base"]), int(row["erg_rank_tuned"]))
    assert row["update_in_base_ecs"] == pytest.approx(truth.both, rel=1e-9)
    assert row["ecs_overlap_left"] == pytest.approx(truth.overlap_left, rel=1e-9)
    assert row["ecs_angle_right"] == pytest.approx(truth.angle_right, rel=1e-6)
    assert row["update_norm_share"] == pytest.approx(np.linalg.norm(after - kernel) / np.linalg.norm(kernel))


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(list(SHAPES)), scale=st.sampled_from([1.0, 1e-3, 1e200]), turned=st.booleans())
def test_order_scale_and_transposition_change_nothing(order, scale, turned):
    base = {f"{name}.weight": updates.heavy_matrix(*shape, seed=1) for name, shape in SHAPES.items()}
    rng = np.random.default_rng(5)
    after = {name: W + 0.1 * rng.normal(size=W.shape) for name, W in base.items()}
    straight = ww.compare(base, after).table().set_index("longname")
    mixed = {
        f"{name}.weight": scale * (after[f"{name}.weight"].T if turned else after[f"{name}.weight"]) for name in order
    }
    first = {name: scale * (W.T if turned else W) for name, W in base.items()}
    found = ww.compare(first, mixed).table().set_index("longname").loc[straight.index]
    same = ("update_norm_share", "update_in_base_ecs", "update_stable_rank", "d_tail_alpha", "update_alpha")
    np.testing.assert_allclose(found[list(same)], straight[list(same)], rtol=1e-6, atol=1e-12)
    sides = ("right", "left") if turned else ("left", "right")
    for mine, theirs in zip(("left", "right"), sides):
        np.testing.assert_allclose(
            found[f"update_in_base_ecs_{mine}"], straight[f"update_in_base_ecs_{theirs}"], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["fc.weight"], ["module.fc.weight"]),
        (["fc.weight"], ["_orig_mod.fc.weight"]),
        (["fc.weight"], ["base_model.model.fc.weight"]),
        (["base_model.model.fc.base_layer.weight"], ["fc.weight"]),
        (["_fsdp_wrapped_module.a._checkpoint_wrapped_module.fc.weight"], ["module.a.fc.weight"]),
        (["h.0.fc.weight", "h.1.fc.weight"], ["transformer.h.0.fc.weight", "transformer.h.1.fc.weight"]),
        (["model.fc.weight", "lm_head.weight"], ["fc.weight", "lm_head.weight"]),
    ],
)
def test_names_meet_without_wrappers_and_prefixes(first, second):
    assert paired(first, second).partners == dict(zip(first, second))
    assert paired(second, first).partners == dict(zip(second, first))
    assert paired(first, second).remarks


def test_names_that_could_be_two_are_none():
    assert paired(["fc.weight"], ["module.fc.weight", "_orig_mod.fc.weight"]).partners == {}
    assert paired(["a.weight", "b.weight", "c.weight"], ["x.a.weight", "q.weight", "r.weight"]).partners == {}


def test_what_is_not_compared_is_said(base, tuned):
    first = {**base, "old.weight": np.eye(4), "odd.weight": np.eye(5), "codes.weight": np.eye(6).astype(np.int8)}
    second = {**tuned, "new.weight": np.eye(4), "odd.weight": np.eye(7), "codes.weight": np.eye(6).astype(np.int8)}
    found = ww.compare(first, second)
    told = found.unmatched.set_index("longname")
    assert told.loc["old", ["side", "reason"]].tolist() == ["base", "the tuned model has no layer of that name"]
    assert told.loc["new", ["side", "reason"]].tolist() == ["tuned", "the base model has no layer of that name"]
    assert told.loc["odd", "reason"] == "its shape is 5 x 5 in the base and 7 x 7 in the tuned model"
    assert "int8" in told.loc["codes", "reason"]
    assert len(found.table()) == 3
    with pytest.raises(ww.InvalidInput, match="no layer of one"):
        ww.compare({"a.weight": np.eye(4)}, {"b.weight": np.eye(4)})


def test_a_vocabulary_that_was_resized_is_compared_as_far_as_both_go():
    rng = np.random.default_rng(0)
    words, head = rng.normal(size=(50, 16)), rng.normal(size=(50, 16))
    base = {"embed_tokens.weight": words, "lm_head.weight": head, "score.weight": rng.normal(size=(3, 16))}
    longer = {
        "embed_tokens.weight": np.concatenate([words, rng.normal(size=(6, 16))]),
        "lm_head.weight": np.concatenate([head + 0.1, rng.normal(size=(6, 16))]),
        "score.weight": rng.normal(size=(5, 16)),
    }
    found = ww.compare(base, longer)
    table = found.table().set_index("longname")
    assert table["reason"].str.contains("the first 50 rows of 50 and 56 are compared").all()
    assert found.base.table()["shape"].unique().tolist() == ["50 x 16"]
    assert found.tuned.table()["shape"].unique().tolist() == ["56 x 16"]
    assert table.loc["embed_tokens", "update_reason"] == SAME
    assert table.loc["lm_head", "update_norm"] == pytest.approx(0.1 * math.sqrt(800))
    assert found.unmatched["longname"].tolist() == ["score"]
    assert found.remarks == ("the vocabulary was resized: the first 50 rows of 50 and 56 are compared",)
    assert "the vocabulary was resized" in str(found.summary())
    back = ww.compare(longer, base).table().set_index("longname")
    assert back.loc["lm_head", "update_norm"] == table.loc["lm_head", "update_norm"]


def test_weights_that_are_tied_on_one_side_are_two_there():
    torch.manual_seed(0)

    class Tied(torch.nn.Module):
        def __init__(self, tie):
            super().__init__()
            self.embed = torch.nn.Embedding(30, 20)
            self.head = torch.nn.Linear(20, 30, bias=False)
            if tie:
                self.head.weight = self.embed.weight

    tied, loose = Tied(True), Tied(False)
    loose.embed.weight.data.copy_(tied.embed.weight.data)
    one_way, other_way = ww.compare(tied, loose).table(), ww.compare(loose, tied).table()
    assert one_way["longname"].tolist() == other_way["longname"].tolist() == ["embed", "head"]
    assert one_way["update_norm"].tolist() == pytest.approx(other_way["update_norm"].tolist())
    assert one_way["update_norm"][0] == 0.0 < one_way["update_norm"][1]
    assert ww.compare(tied, tied).table()["longname"].tolist() == ["embed"]


def test_a_head_that_the_config_ties_is_there(tmp_path):
    words = np.random.default_rng(0).normal(size=(50, 16))
    for name, ties, head in (("base", True, {}), ("tuned", False, {"lm_head.weight": words + 0.1})):
        (tmp_path / name).mkdir()
        told = {"vocab_size": 50, "tie_word_embeddings": ties}
        (tmp_path / name / "config.json").write_text(json.dumps(told))
        np.savez(tmp_path / name / "model.npz", **{"embed_tokens.weight": words, **head})
    table = ww.compare(tmp_path / "base", tmp_path / "tuned").table()
    assert table["longname"].tolist() == ["embed_tokens", "lm_head"]
    assert table["update_norm"].tolist() == [0.0, pytest.approx(0.1 * math.sqrt(800))]


def test_rounding_to_a_narrow_type_is_told_from_an_update():
    W = torch.from_numpy(updates.heavy_matrix(200, 120, seed=2)).float()
    rounded = ww.compare({"fc.weight": W}, {"fc.weight": W.bfloat16()})
    row = rounded.table().iloc[0]
    assert row["update_rank"] == 0
    assert row["update_rounding"] == pytest.approx(1.0, abs=0.05)
    assert row["reason"] == "types float32 and bfloat16"
    assert "1 differ by no more than rounding to their types makes" in str(rounded.summary())
    # Saved again in float32 it is still what rounding makes.
    assert ww.compare({"fc.weight": W}, {"fc.weight": W.bfloat16().float()}).table()["update_rank"].tolist() == [0]
    moved = ww.compare({"fc.weight": W}, {"fc.weight": (W + 0.1 * torch.randn(200, 120)).bfloat16()}).table().iloc[0]
    assert moved["update_rank"] == 120
    assert moved["update_rounding"] < 0.01


def test_a_layer_that_cannot_be_read_has_a_row_with_the_reason(base, tuned):
    bad = {**tuned, "layers.b.weight": np.full((40, 70), np.nan)}
    table = ww.compare(base, bad).table().set_index("longname")
    assert table.loc["layers.b", "status"] == "failed"
    assert "2800 NaN" in table.loc["layers.b", "reason"]
    assert table.drop(index="layers.b")["status"].eq("compared").all()
    assert table.loc["layers.b", [*UPDATE_COLUMNS[:-1], "d_tail_alpha"]].isna().all()


class Gone:
    """An array of somebody's whose values cannot be had."""

    shape, dtype, ndim = (40, 70), np.dtype("float64"), 2

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise OSError("the disk is gone")


@pytest.mark.parametrize("side", ["base", "tuned"])
def test_a_layer_whose_values_are_gone_has_a_row_that_failed(base, tuned, side):
    models = {"base": base, "tuned": tuned}
    models[side] = {**models[side], "layers.b.weight": Gone()}
    found = ww.compare(**models)
    table = found.table().set_index("longname")
    said = "layer layers.b: not loaded, the disk is gone"
    assert table.loc["layers.b", ["status", "reason", "update_reason"]].tolist() == ["failed", said, ""]
    assert table.drop(index="layers.b")["status"].eq("compared").all()
    assert (found.summary().failed, found.summary().look_first[0].why) == (1, said)


def test_a_difference_that_cannot_be_looked_at_leaves_both_spectra(base, tuned, monkeypatch):
    whole = ww.compare(base, tuned).table().iloc[0]

    def fails(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("setol_ww.advice.layerwise.update_of", fails)
    row = ww.compare(base, tuned).table().iloc[0]
    assert row["update_reason"] == f"layer {row['longname']}: no update, MemoryError: no room"
    assert (row["status"], row["d_tail_alpha"]) == ("compared", whole["d_tail_alpha"])
    assert row[list(UPDATE_COLUMNS[:-1])].isna().all()


@pytest.mark.parametrize("odd", [np.zeros((9, 6)), np.ones((9, 6)), np.eye(9, 6), np.diag([1.0] + 5 * [0.0])])
def test_degenerate_weights_have_nan_and_a_reason(odd):
    other = odd + np.random.default_rng(0).normal(size=odd.shape)
    for first, second in ((odd, other), (other, odd), (odd, odd)):
        row = ww.compare({"fc.weight": first}, {"fc.weight": second}).table().iloc[0]
        assert row["status"] == "compared"
        numbers = row[list(UPDATE_COLUMNS[:-1])].astype(float)
        assert not np.isinf(numbers).any()
        assert row["update_reason"] or math.isfinite(row["update_in_base_ecs"])


def test_kept_results_are_compared_without_weights(base, tuned, compared, tmp_path):
    for name, model in (("base", base), ("tuned", tuned)):
        ww.examine(model).save(tmp_path / f"{name}.setol")
    found = ww.compare(tmp_path / "base.setol", str(tmp_path / "tuned.setol"), uncertainty=60)
    table = found.table()
    whole = compared.table()
    for name in ("d_tail_alpha", "d_tail_alpha_error", "d_q2_norm", "state_change"):
        assert table[name].tolist() == whole[name].tolist()
    assert not any(name.startswith(("update_", "ecs_")) for name in table)
    mixed = ww.compare(ww.open_results(tmp_path / "base.setol"), tuned).table()
    assert mixed["d_tail_alpha"].tolist() == whole["d_tail_alpha"].tolist()
    with pytest.raises(ww.InvalidInput, match="randomize=True was asked of two kept results"):
        ww.compare(tmp_path / "base.setol", tmp_path / "tuned.setol", randomize=True)


def test_results_cut_otherwise_are_told_from_layers_that_are_not_there():
    draws = np.random.default_rng(8)
    weights = {"qkv.weight": draws.normal(size=(180, 60)), "z.weight": draws.normal(size=(80, 60))}
    whole = ww.examine(weights, progress=False)
    cut = ww.examine(weights, layouts={"qkv.weight": "qkv:60,60,60"}, progress=False)
    for first, second in ((cut, whole), (whole, cut)):
        left = ww.compare(first, second).unmatched
        assert sorted(left["longname"]) == ["qkv", "qkv [k]", "qkv [q]", "qkv [v]"]
        assert all("in other parts" in reason for reason in left["reason"])


def test_layers_without_an_alpha_are_not_called_unchanged():
    draws = np.random.default_rng(9)
    good, bad = draws.normal(size=(80, 60)), np.full((80, 60), np.nan)
    words = str(ww.compare({"a.weight": good}, {"a.weight": bad}).summary())
    assert "alpha beyond its error in 0 of 0" in words
    assert "can be told" not in words
    both = ww.compare(
        {"a.weight": good, "b.weight": good[:70]}, {"a.weight": 0 * good, "b.weight": good[:70]}
    ).summary()
    assert "alpha beyond its error in 0 of 1" in str(both)
    assert "can be told" not in str(both)
    same = str(ww.compare({"a.weight": good}, {"a.weight": good}).summary())
    assert "0 of 1; no layer's spectrum can be told from before" in same


def test_layers_and_options_are_those_of_every_entry_point(base, tuned):
    found = ww.compare(base, tuned, layers="layers.a", randomize=True, quality=False, farms=True)
    table = found.table()
    assert table["longname"].tolist() == ["layers.a"]
    assert found.unmatched.empty
    assert {"d_trap_count", "d_farms_alpha_error"} < set(table)
    assert "d_q2_norm" not in table
    with pytest.raises(ww.InvalidInput, match="colour"):
        ww.compare(base, tuned, colour="red")
    with pytest.raises(ww.InvalidInput, match="accepted are a torch"):
        ww.compare(base, 3)
    with pytest.raises(ww.InvalidInput, match="by itself"):
        ww.compare(None, base)


def test_threads_change_nothing(base, tuned, compared):
    threads = ww.compare(base, tuned, uncertainty=60, n_jobs=3)
    pd.testing.assert_frame_equal(threads.table(), compared.table())


def test_it_is_said_in_words_and_as_json(compared):
    summary = compared.summary()
    assert len(str(summary).splitlines()) <= 20
    told = json.loads(json.dumps(compared.to_dict()))
    assert told["schema"] == told["summary"]["schema"] == 1
    assert len(told["rows"]) == 3
    assert told["rows"][0]["longname"] == "layers.a"
    assert "layers.a" in str(compared)
    assert "layers.a" in compared._repr_html_()
    assert "alpha" in summary._repr_html_()
    assert "alpha beyond its error in" in str(summary)


def test_a_run_is_a_table_of_layers_and_steps(base, tuned, tmp_path):
    states = [{name: W + size * (tuned[name] - W) for name, W in base.items()} for size in (0, 0.5, 1)]
    paths = []
    for number, state in enumerate(states):
        paths.append(tmp_path / f"checkpoint-{number * 500}.npz")
        np.savez(paths[-1], **state)
    frame = ww.compare_run(paths)
    assert frame["step"].tolist() == [0] * 3 + [500] * 3 + [1000] * 3
    sizes = frame.pivot(index="longname", columns="step", values="update_norm_share")
    assert np.all(sizes[0] == 0)
    np.testing.assert_allclose(sizes[500] * 2, sizes[1000])
    with pytest.raises(ww.InvalidInput, match="rising"):
        ww.compare_run(paths, steps=[2, 1, 3])
    with pytest.raises(ww.InvalidInput, match="two or more"):
        ww.compare_run(paths[:1])


def in_float32(state: dict) -> dict:
    return {name: W.astype(np.float32) for name, W in state.items()}


def test_a_run_is_its_comparisons_and_decomposes_its_first_checkpoint_once(base, tuned, monkeypatch):
    """Whether of weights in float32, whose Gram matrix serves eigenvalues and directions, or in float64."""
    from setol_ww.advice import layerwise

    states = [base, tuned, {name: W + 0.1 for name, W in base.items()}]
    seen = []

    class Counted(layerwise.Decomposed):
        def __init__(self, matrix, *rest):
            seen.append(matrix.shape)
            super().__init__(matrix, *rest)

    monkeypatch.setattr(layerwise, "Decomposed", Counted)
    for run in (states, [in_float32(state) for state in states]):
        seen.clear()
        frame = ww.compare_run(run, n_jobs=2)
        # Three layers of three checkpoints.
        assert len(seen) == 9
        pairs = [ww.compare(run[0], state).table() for state in run]
        for step, expected in enumerate(pairs):
            found = frame[frame["step"] == step].drop(columns="step").reset_index(drop=True)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_run_of_other_vocabularies_is_compared_as_far_as_each_goes():
    """The same tensor of the first checkpoint in two parts: its rows belong to the comparison they are of."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(60, 20))
    states = [{"embed_tokens.weight": table[:rows], "fc.weight": table[:30]} for rows in (60, 60, 50, 40)]
    frame = ww.compare_run(states).query("longname == 'embed_tokens'")
    assert frame["N"].tolist() == [60, 60, 50, 40]
    assert frame["update_norm"].tolist() == [0.0] * 4
    assert (frame["tail_alpha_base"] == frame["tail_alpha_tuned"]).all()


def test_a_layer_that_a_step_of_a_run_lacks_has_a_row_with_the_reason(base, tuned):
    name = next(iter(base))
    frame = ww.compare_run([base, {key: W for key, W in tuned.items() if key != name}, tuned])
    told = frame[frame["longname"] == name.removesuffix(".weight")]
    assert told["status"].tolist() == ["compared", "missing", "compared"]
    assert told["reason"].tolist() == ["", "the tuned model has no layer of that name", ""]
    assert told["update_norm"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(70, 40), (40, 70), (50, 50), (1, 5), (3, 2), (60, 60, 2)])
def test_one_reduction_has_the_eigenvalues_of_the_scan_and_the_directions_of_the_svd(shape):
    from setol_ww.linalg.decomposed import Decomposed

    W = updates.heavy_matrix(*shape[:2], seed=3).astype(np.float32)
    if len(shape) == 3:
        # Of rank 2: the Gram matrix does not resolve what is next to nothing.
        W = (W[:, :2] @ W[:2, :]).astype(np.float32)
        W[5:] = np.round(W[5:] / W.max() * 8)
    found = Decomposed(W)
    np.testing.assert_array_equal(found.eigenvalues.plain, ww.Spectrum.from_matrix(W).raw)
    count = max(1, min(shape[:2]) // 4)
    directions = found.leading(count)
    assert directions.vectors.shape == (min(shape[:2]), count)
    left, _, right = np.linalg.svd(W.astype(float))
    short = right[:count].T if W.shape[0] >= W.shape[1] else left[:, :count]
    np.testing.assert_allclose(directions.vectors @ directions.vectors.T, short @ short.T, atol=1e-7)


def test_a_run_and_a_watched_folder_read_the_same_steps(tmp_path):
    """The step stands before other numbers of a name."""
    names = ["step=500-loss=2.31.npz", "step=1000-loss=2.05.npz"]
    for name in names:
        np.savez(tmp_path / name, **{"fc.weight": np.eye(20)})
    frame = ww.compare_run([tmp_path / name for name in names], update=False)
    assert frame["step"].tolist() == [500, 1000] == [step_of(tmp_path / name) for name in names]


def test_the_command_says_the_same(base, tuned, compared, tmp_path, capsys):
    paths = []
    for name, model in (("base", base), ("tuned", tuned), ("later", tuned)):
        paths.append(str(tmp_path / f"{name}.npz"))
        np.savez(paths[-1], **model)
    out = tmp_path / "changes.csv"
    assert main(["compare", *paths[:2], "--out", str(out), "--uncertainty", "60"]) == 0
    said = capsys.readouterr().out
    assert "layers.a" in said
    assert "alpha beyond its error in" in said
    read = ww.read_table(out)
    np.testing.assert_array_equal(read["d_tail_alpha"], compared.table()["d_tail_alpha"])
    assert main(["compare", *paths[:2], "--json", "--no-update"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["rows"] == 3
    assert main(["compare", *paths[:2], "--quiet", "--fail-on", "failed>0", "--fail-on", "unmatched>=0"]) == 3
    assert "unmatched>=0 holds: 0 unmatched" in capsys.readouterr().err
    assert main(["compare", *paths, "--no-update"]) == 0
    assert "alpha at step" in capsys.readouterr().out
    assert main(["compare", *paths[:2], "--fail-on", "ideal>0"]) == 2
    assert "beyond" in capsys.readouterr().err


def test_shares_of_a_matrix_of_many_blocks_of_rows(monkeypatch):
    """Blocks of rows find their places in the subspace: three blocks and a rest, against the projectors."""
    from setol_ww.linalg import eigenvalues, subspaces
    from setol_ww.linalg.decomposed import Decomposed

    monkeypatch.setattr(eigenvalues, "BLOCK_ELEMENTS", 40 * 30)
    rng = np.random.default_rng(0)
    base, update = rng.normal(size=(130, 30)), rng.normal(size=(130, 30))
    (found,) = subspaces.leading_subspaces([Decomposed(base)], 7)
    left, right = found.left, found.right
    u = np.linalg.svd(base)[0]
    np.testing.assert_allclose(left @ left.T, u[:, :7] @ u[:, :7].T, atol=1e-9)
    told = subspaces.shares([update], [found])
    whole = (update**2).sum()
    expected = (((left.T @ update @ right) ** 2).sum(), ((left.T @ update) ** 2).sum(), ((update @ right) ** 2).sum())
    assert sorted(dataclasses.astuple(told)) == pytest.approx(sorted(part / whole for part in expected))


def test_a_table_that_cannot_be_written_is_told(tmp_path, capsys):
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", w=np.random.default_rng(0).normal(size=(30, 20)))
    out = tmp_path / "none" / "x.csv"
    assert main(["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--no-update", "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert f"--out {out} was asked; it cannot be written" in " ".join(said.err.split())


def test_a_weight_with_scales_is_no_update():
    """Put together from its parts it is compared with the plain one, not taken for an adapter without its base."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(-127, 128, (60, 40), generator=generator, dtype=torch.int8)
    scales = torch.rand(60, 1, generator=generator) + 0.1
    plain, stored = {"a.weight": words.float() * scales}, {"a.weight": words, "a.weight_scale": scales}
    row = ww.compare(plain, stored, progress=False).table().iloc[0]
    assert (row["status"], row["update_norm"]) == ("compared", 0.0)
    assert row["reason"] == "types float32 and int8 x row scales"
