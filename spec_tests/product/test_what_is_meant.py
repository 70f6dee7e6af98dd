"""Tensors and files that mean something else than they look like: no number of the wrong matrix, nothing unsaid."""

import json

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

import setol_ww as ww


def matrix(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_t(4, size=shape).astype(np.float32))


def largest(weight):
    return np.linalg.svd(np.asarray(weight, dtype=np.float64), compute_uv=False)[0] ** 2


def dynamically(model, kinds, dtype):
    engine = "qnnpack" if dtype == torch.qint8 else "fbgemm"
    before, torch.backends.quantized.engine = torch.backends.quantized.engine, engine
    try:
        return torch.ao.quantization.quantize_dynamic(model, kinds, dtype=dtype)
    finally:
        torch.backends.quantized.engine = before


def reasons(frame):
    return {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}


def test_float8_of_one_shard_waits_for_the_scales_of_the_others(tmp_path):
    shard = tmp_path / "model-00001-of-00002.safetensors"
    save_file({"fc.weight": matrix(12, 8).to(torch.float8_e4m3fn)}, shard)
    frame = ww.analyze(shard)
    assert not frame["lambda_max"].notna().any()
    assert "scales may lie in another shard" in reasons(frame)["fc.weight"]


@pytest.mark.parametrize("name", ["weights_scaling_factor", "weight_scaling_factor", "weight_amax"])
def test_float8_beside_a_scale_of_another_name_is_no_weight(name):
    frame = ww.analyze({"fc.weight": matrix(12, 8).to(torch.float8_e4m3fn), f"fc.{name}": torch.tensor(3.0)})
    assert not frame["lambda_max"].notna().any()
    assert f"how fc.{name} belong to it is not known" in reasons(frame)["fc.weight"]


def test_float8_without_scales_says_so():
    weight = matrix(12, 8).to(torch.float8_e4m3fn)
    row = ww.analyze({"fc.weight": weight}).iloc[0]
    assert row["lambda_max"] == pytest.approx(largest(weight.float()))
    assert row["reason"] == "values of float8_e4m3fn as they are stored: no scales of it are here"


def test_an_update_with_singular_values_of_its_own_is_not_put_together():
    stored = {"q.lora_A": matrix(4, 8), "q.lora_B": matrix(12, 4), "q.lora_E": matrix(4, 1)}
    frame = ww.analyze(stored)
    assert not frame["lambda_max"].notna().any()
    assert all("AdaLoRA" in reason for reason in reasons(frame).values())
    assert reasons(frame).keys() == stored.keys()


@pytest.mark.parametrize(
    "name",
    ["q.lora_B.weight", "q.lora_up.weight", "q.oft_R.default.weight", "x.vera_B", "q.hra_u", "q.ia3_l"],
)
def test_a_factor_of_an_update_is_no_weight(name):
    frame = ww.analyze({name: matrix(12, 4), "fc.weight": matrix(9, 7)})
    assert frame.loc[frame["lambda_max"].notna(), "longname"].tolist() == ["fc"]
    assert "update" in reasons(frame)[name]


@pytest.mark.parametrize(("name", "shape"), [("c.weight", (24, 5, 16)), ("a.conv.weight", (24, 9, 8))])
def test_a_one_dimensional_convolution_of_mlx_has_its_channels_last(tmp_path, name, shape):
    kernel = matrix(*shape).numpy()
    save_numpy({name: kernel}, tmp_path / "model.safetensors", metadata={"format": "mlx"})
    (row,) = ww.analyze(tmp_path / "model.safetensors").to_dict("records")
    truth = max(largest(kernel[:, place]) for place in range(shape[1])) / 2  # WeightWatcher halves those of kernels
    assert (row["N"], row["M"], row["rf"]) == (24, shape[2], shape[1])
    assert row["lambda_max"] == pytest.approx(truth)


def test_a_kernel_that_is_square_only_with_channels_last_says_so():
    frame = ww.analyze(
        {"a.weight": matrix(12, 3, 3, 8), "b.weight": matrix(12, 8, 3, 3), "c.weight": matrix(8, 3, 3, 3)}
    )
    told = frame.set_index("longname")["reason"]
    assert told["a"] == "its channels may lie last, as MLX writes them: say layouts={'a.weight': 'kernel:0,3'}"
    assert told["b"] == told["c"] == ""


def test_the_convolution_for_positions_of_speech_models_is_grouped(tmp_path):
    kernel, name = matrix(16, 4, 40), "encoder.pos_conv_embed.conv"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert", "num_conv_pos_embedding_groups": 4}))
    norms = kernel.norm(dim=(0, 1), keepdim=True)
    save_file({f"{name}.weight_g": norms, f"{name}.weight_v": kernel * 5}, tmp_path / "model.safetensors")
    (row,) = ww.analyze(tmp_path).to_dict("records")
    module = torch.nn.Sequential(torch.nn.Conv1d(16, 16, 40, groups=4))
    module.load_state_dict({"0.weight": kernel, "0.bias": torch.zeros(16)})
    (same,) = ww.analyze(module).to_dict("records")
    assert (row["N"], row["M"], row["rf"]) == (same["N"], same["M"], same["rf"]) == (4, 4, 160)
    assert row["lambda_max"] == pytest.approx(same["lambda_max"])


@pytest.mark.parametrize("name", ["blk.0.attn_qkv.weight", "cross.kv_linear.weight", "mlp.w13.weight"])
def test_a_fused_projection_is_whole_with_a_word(name):
    (row,) = ww.analyze({name: matrix(24, 8)}).to_dict("records")
    assert row["reason"].startswith("analysed whole; it may hold")


@pytest.mark.parametrize(
    "name",
    [
        "rotary_emb.cos_sin_cache",
        "rotary._cos_cached",
        "rope.cache",
        "rope_cache",
        "conv.blur.kernel",
        "embed_positions.weights",
        "sinusoid.weights",
        "attn.coords_table",
        "head.tri",
        "mixer.A_b_log",
        "stft.forward_basis",
        "graph.adjacency",
        "quant.had_K",
        "loss.class_weights",
    ],
)
def test_tables_and_filters_are_no_weights(name):
    frame = ww.analyze({name: matrix(8, 8), "fc.weight": matrix(9, 7)})
    assert frame["longname"].tolist() == ["fc"]
    assert reasons(frame)[name].startswith("no weight")


@pytest.mark.filterwarnings("ignore:.*(deprecated|quantize_per_tensor)")
def test_recurrent_layers_quantised_by_torch_have_rows():
    model = dynamically(torch.nn.Sequential(torch.nn.LSTM(8, 6)), {torch.nn.LSTM}, torch.qint8)
    frame = ww.analyze(model).set_index(["longname", "slice"])
    forget = model[0].get_weight()["weight_hh_l0"].dequantize()[6:12]
    assert frame.loc[("0.weight_hh_l0", "f"), "lambda_max"] == pytest.approx(largest(forget))
    assert len(frame) == 8


@pytest.mark.filterwarnings("ignore:.*(deprecated|quantize_per_tensor)")
def test_layers_that_torch_packs_as_float16_have_rows(tmp_path):
    before = torch.nn.Linear(8, 6)
    want = largest(before.weight.detach().half())
    model = dynamically(torch.nn.Sequential(before, torch.nn.LSTM(8, 6)), None, torch.float16)
    frame = ww.analyze(model)
    assert set(frame["longname"]) == {"0", "1.weight_ih_l0", "1.weight_hh_l0"}
    assert frame["lambda_max"][0] == pytest.approx(want, rel=1e-3)
    assert ww.analyze(model.state_dict())["longname"].tolist() == ["0"]
    torch.save(model.state_dict(), tmp_path / "half.pt")
    assert ww.scan(tmp_path / "half.pt")["longname"].tolist()[0] == "0"


@pytest.mark.filterwarnings("ignore:.*(deprecated|quantize_per_tensor|TypedStorage)")
def test_what_torch_keeps_in_an_object_of_its_own_is_named():
    recurrent = dynamically(torch.nn.Sequential(torch.nn.LSTM(8, 6)), None, torch.qint8).state_dict()
    scripted = torch.jit.script(dynamically(torch.nn.Sequential(torch.nn.Linear(8, 6)), None, torch.qint8))
    for source, name in (
        (recurrent, "0._all_weight_values.0.param"),
        (scripted, "0._packed_params._packed_params"),
    ):
        (told,) = [row for row in ww.analyze(source).attrs["coverage"] if row["longname"] == name]
        assert (told["status"], told["reason"][:27]) == ("skipped", "weights that torch has pack")


@pytest.mark.filterwarnings("ignore:.*(deprecated|quantize_per_tensor|TypedStorage)")
def test_what_torch_keeps_in_an_object_of_its_own_is_read_or_named_in_files(tmp_path):
    layers = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Conv2d(4, 5, 3))
    model = dynamically(layers, {torch.nn.Linear}, torch.qint8)
    torch.jit.save(torch.jit.script(model), tmp_path / "script.pt")
    for read in (ww.analyze, ww.scan):
        found = read(tmp_path / "script.pt").set_index("longname")["lambda_max"]
        assert found["0"] == pytest.approx(largest(model[0].weight().dequantize()))
        assert found["1"] == found["1"]
    torch.save(dynamically(torch.nn.Sequential(torch.nn.LSTM(8, 6)), None, torch.qint8).state_dict(), tmp_path / "r.pt")
    told = reasons(ww.analyze(tmp_path / "r.pt"))
    assert told["0._all_weight_values.0.param"].startswith("weights that torch has packed")


def test_numbers_wider_than_float64_are_those_of_float64(tmp_path):
    W = matrix(9, 7).double().numpy()
    np.save(tmp_path / "w.npy", W.astype(np.longdouble))
    want = ww.analyze({"matrix": W})["tail_alpha"][0]
    assert ww.analyze({"matrix": W.astype(np.longdouble)})["tail_alpha"][0] == want
    assert ww.scan(tmp_path / "w.npy")["tail_alpha"][0] == want


def test_a_matrix_of_another_storage_is_named():
    table = reasons(ww.analyze({"a": scipy.sparse.csr_matrix(matrix(9, 7).numpy()), "fc.weight": matrix(9, 7)}))
    assert table["a"] == "it is a sparse matrix (csr_matrix): give its toarray()"


def test_a_note_where_an_index_or_weights_are_to_be_is_told(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(ww.UnreadableCheckpoint, match="Git LFS pointer"):
        ww.analyze(tmp_path)
    (tmp_path / "net.pt").write_text("<!DOCTYPE html><html><body>404</body></html>")
    with pytest.raises(ww.UnreadableCheckpoint, match="it is a web page"):
        ww.analyze(tmp_path / "net.pt")


def test_a_refusal_of_options_is_without_the_model():
    with pytest.raises(ww.InvalidInput) as caught:
        ww.analyze({"fc.weight": matrix(9, 7)}, fit="TPL")
    assert "array(" not in str(caught.value)
    assert "tensor(" not in str(caught.value)
    assert "'fit': 'TPL'" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"generator": 1, "discriminator": 2}, "read from 'generator' of the file, which also holds 'discriminator'"),
        ({"g": 1, "d": 2, "g_ema": 3}, "read from 'g_ema' of the file, which also holds 'g', 'd'"),
        ({"model": 1, "text_encoder": 2}, "read from 'model' of the file, which also holds 'text_encoder'"),
        ({"model": 1, "optimizer": 2}, ""),
    ],
)
def test_other_models_of_a_file_are_named(tmp_path, content, said):
    torch.save({key: {"fc.weight": matrix(9, 7) * size} for key, size in content.items()}, tmp_path / "all.pt")
    (row,) = ww.analyze(tmp_path / "all.pt").to_dict("records")
    assert row["reason"] == said


def test_the_state_of_an_optimizer_is_no_weight_whatever_its_file_is_called(tmp_path):
    state = {"state": {0: {"exp_avg": matrix(9, 7)}}, "param_groups": []}
    torch.save({"fc.weight": matrix(9, 7)}, tmp_path / "step.pt")
    torch.save(state, tmp_path / "step_opt.pt")
    torch.save({"encoder": {"fc.weight": matrix(9, 7)}, "adam": state}, tmp_path / "both.pt")
    assert ww.analyze(tmp_path / "both.pt")["longname"].tolist() == ["encoder.fc"]
    (tmp_path / "both.pt").unlink()
    assert ww.analyze(tmp_path)["longname"].tolist() == ["fc"]


def test_the_shards_of_one_variant_are_one_model(tmp_path):
    for number, name in ((1, "a"), (2, "b")):
        save_file({f"{name}.weight": matrix(9, 7)}, tmp_path / f"model.fp16-0000{number}-of-00002.safetensors")
    assert ww.analyze(tmp_path)["longname"].tolist() == ["a", "b"]
    save_file({"a.weight": matrix(9, 7)}, tmp_path / "model.ema.safetensors")
    with pytest.raises(ww.InvalidInput, match="variants"):
        ww.analyze(tmp_path)


def test_a_native_copy_is_read_where_there_is_nothing_else(tmp_path):
    torch.save({"x": matrix(9, 7)}, tmp_path / "optimizer.pt")
    with pytest.raises(ww.InvalidInput, match=r"but optimizer\.pt, which training leaves"):
        ww.analyze(tmp_path)
    save_file({"fc.weight": matrix(9, 7)}, tmp_path / "consolidated.safetensors")
    assert ww.analyze(tmp_path)["longname"].tolist() == ["fc"]


def test_originals_of_another_parametrisation_are_no_weights():
    stored = {f"fc.parametrizations.weight.original{part}": matrix(9, 7) for part in "01"}
    frame = ww.analyze(stored)
    assert not len(frame)
    assert reasons(frame).keys() == stored.keys()


@pytest.mark.parametrize("mask", ["fc.mask", "fc.weight_mask"])
def test_a_mask_that_is_not_applied_is_told(mask):
    weight = matrix(9, 7)
    (row,) = ww.analyze({"fc.weight": weight, mask: (weight > 0).float()}).to_dict("records")
    assert row["reason"] == f"as it is stored: the mask {mask} beside it is not applied"
    (row,) = ww.analyze({"fc.weight": weight, mask: torch.ones(7, 7)}).to_dict("records")
    assert row["reason"] == ""


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_does_not_end_the_others():
    frame = ww.analyze({"n": torch.nested.nested_tensor([torch.ones(2, 2)]), "fc.weight": matrix(9, 7)})
    assert frame["longname"].tolist() == ["fc"]
    assert "nested" in reasons(frame)["n"]


def test_a_grouped_convolution_that_was_pickled_whole_is_that_of_its_module(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv1d(16, 24, 3, groups=4), torch.nn.LayerNorm((5, 5)), torch.nn.GRU(8, 6))
    torch.save(model, tmp_path / "whole.pt")
    columns = ["longname", "slice", "N", "M", "rf", "lambda_max", "layout", "layout_from"]
    rows, truth = (ww.analyze(one)[columns].to_dict("records") for one in (tmp_path / "whole.pt", model))
    assert sorted(rows, key=str) == sorted(truth, key=str)
    assert (truth[0]["N"], truth[0]["M"], truth[0]["rf"]) == (6, 4, 12)


def test_factors_of_an_adapter_without_its_config_are_rows_that_say_so(tmp_path):
    factors = {"base_model.model.l.lora_A.weight": matrix(8, 64), "base_model.model.l.lora_B.weight": matrix(96, 8)}
    torch.save(factors, tmp_path / "adapter_model.bin")
    torch.save({"last_epoch": 1}, tmp_path / "scheduler.pt")
    frame = ww.analyze(tmp_path)
    assert sorted(zip(frame["N"], frame["M"])) == [(64, 8), (96, 8)]
    assert frame["reason"].str.contains("put adapter_config.json beside the file").all()
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 16, "r": 8}')
    frame = ww.analyze(tmp_path)
    assert list(zip(frame["N"], frame["M"])) == [(96, 64)]
    both = factors["base_model.model.l.lora_B.weight"] @ factors["base_model.model.l.lora_A.weight"]
    assert frame["lambda_max"][0] == pytest.approx(float(torch.linalg.matrix_norm(2 * both.double(), 2) ** 2), rel=1e-5)
