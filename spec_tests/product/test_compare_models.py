"""Comparisons of real models: folders of transformers, shards, half precision, adapters of peft, a hub."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import setol_ww as ww

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

# Of peft and torch, about themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied:UserWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tuned(base):
    """Two directions added to every query projection, noise to the MLP of the second layer."""
    model, draw = copy.deepcopy(base), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            rows, columns = weight.shape[0], weight.shape[-1]
            if "q_proj" in name:
                pair = torch.randn(rows, 2, generator=draw), torch.randn(2, columns, generator=draw)
                weight += 0.01 * pair[0] @ pair[1]
            elif "layers.1.mlp" in name:
                weight += 0.004 * torch.randn(rows, columns, generator=draw)
    return model


def with_adapter(base, **options):
    model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(lora_alpha=8, **options))
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.05 * torch.randn(weight.shape, generator=draw)
            elif "magnitude" in name:
                weight *= 1.2
    return model


def ranks(frame):
    return dict(zip(frame["longname"], frame["update_rank"].astype(int)))


def test_folders_whole_and_in_shards(base, tuned, tmp_path):
    base.save_pretrained(tmp_path / "base")
    tuned.save_pretrained(tmp_path / "tuned", max_shard_size="100KB")
    assert len(list((tmp_path / "tuned").glob("*.safetensors"))) > 1
    found = ww.compare(tmp_path / "base", tmp_path / "tuned")
    told = ranks(found.table())
    assert len(told) == 15
    assert {told[f"model.layers.{number}.self_attn.q_proj"] for number in (0, 1)} == {2}
    assert {told[f"model.layers.1.mlp.{name}_proj"] for name in ("gate", "up", "down")} == {48}
    assert sum(rank == 0 for rank in told.values()) == 10
    assert found.unmatched.empty
    memory = ww.compare(base, tuned).table().set_index("longname")
    disk = found.table().set_index("longname").loc[memory.index]
    for name in ("update_norm_share", "update_in_base_ecs", "d_tail_alpha", "ecs_angle_left"):
        np.testing.assert_array_equal(memory[name], disk[name])


def test_half_precision_is_said_and_is_no_update(base, tuned, tmp_path):
    base.save_pretrained(tmp_path / "base")
    copy.deepcopy(tuned).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    found = ww.compare(tmp_path / "base", tmp_path / "half")
    table = found.table()
    assert table["reason"].eq("types float32 and bfloat16").all()
    told = ranks(table)
    assert {told[f"model.layers.{number}.self_attn.q_proj"] for number in (0, 1)} == {2}
    assert told["model.layers.0.mlp.up_proj"] == 0
    assert "10 differ by no more than rounding to their types makes" in str(found.summary())


def test_words_were_added_and_the_head_untied(base, tuned, tmp_path):
    base.save_pretrained(tmp_path / "base")
    longer = copy.deepcopy(tuned)
    longer.config.tie_word_embeddings = False
    longer.lm_head.weight = torch.nn.Parameter(longer.lm_head.weight.detach().clone() + 0.01)
    longer.resize_token_embeddings(136, mean_resizing=False)
    longer.save_pretrained(tmp_path / "longer")
    found = ww.compare(tmp_path / "base", tmp_path / "longer")
    table = found.table().set_index("longname")
    assert table.loc["model.embed_tokens", "update_norm"] == 0
    assert table.loc["lm_head", "update_rank"] == 1
    assert "first 128 rows of 128 and 136" in table.loc["lm_head", "reason"]
    assert found.unmatched.empty


@pytest.mark.parametrize(
    "options",
    [
        {"r": 4, "target_modules": ["q_proj", "down_proj"]},
        {"r": 3, "target_modules": ["v_proj"], "use_dora": True},
        {"r": 4, "target_modules": ["q_proj"], "use_rslora": True, "modules_to_save": ["lm_head"]},
    ],
)
def test_an_adapter_is_what_merging_makes_of_it(base, options, tmp_path):
    model = with_adapter(base, **options)
    base.save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    copy.deepcopy(model).merge_and_unload().save_pretrained(tmp_path / "merged")
    adapter = ww.compare(tmp_path / "base", tmp_path / "adapter")
    table = adapter.table().set_index("longname")
    merged = ww.compare(tmp_path / "base", tmp_path / "merged").table().set_index("longname")
    changed = merged[merged["update_norm"] > 0].index
    assert sorted(changed) == sorted(table.index[table["update_norm"] > 0])
    for name in ("update_norm_share", "update_rank", "update_in_base_ecs", "ecs_overlap_left", "tail_alpha_tuned"):
        np.testing.assert_allclose(table.loc[changed, name], merged.loc[changed, name], rtol=2e-5, err_msg=name)
    if "use_dora" not in options:
        assert set(table.loc[changed, "update_rank"]) == {options["r"]}
    assert set(adapter.unmatched["reason"]) == {"the adapter does not change it"}
    live = ww.compare(base, model).table().set_index("longname")
    np.testing.assert_allclose(live.loc[changed, "update_norm"], merged.loc[changed, "update_norm"], rtol=2e-5)
    back = ww.compare(tmp_path / "adapter", tmp_path / "base").table().set_index("longname")
    np.testing.assert_array_equal(back.loc[changed, "d_tail_alpha"], -table.loc[changed, "d_tail_alpha"])


def test_an_adapter_by_itself_has_its_update(base, tmp_path):
    model = with_adapter(base, r=4, target_modules=["q_proj", "down_proj"])
    base.save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    alone = ww.compare(None, tmp_path / "adapter")
    table = alone.table().set_index("longname")
    beside = ww.compare(tmp_path / "base", tmp_path / "adapter").table().set_index("longname").loc[table.index]
    assert table["update_rank"].tolist() == [4.0] * 4
    for name in ("update_norm", "update_stable_rank"):
        np.testing.assert_allclose(table[name], beside[name], rtol=1e-5)
    assert table["update_norm_share"].isna().all()
    assert table["update_reason"].eq("an update by itself: its base is not here").all()
    assert "rank 4" in str(alone.summary())
    assert "q_proj" in str(alone)


def test_compiled_and_wrapped_models_are_the_models(base, tuned):
    straight = ww.compare(base, tuned).table()
    state = {f"module.{name}": value for name, value in tuned.state_dict().items() if name != "lm_head.weight"}
    for other in (torch.compile(tuned), state, tuned.model):
        table = ww.compare(base, other).table().set_index("longname").loc[straight["longname"]]
        np.testing.assert_array_equal(table["update_norm"], straight["update_norm"])


def apart_and_fused() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Two blocks whose projections are stored apart, and the same in fused tensors as Phi-3 stores them."""
    draw = torch.Generator().manual_seed(0)
    apart, fused = {}, {}
    for number in range(2):
        at = f"model.layers.{number}."
        q, k, v = (torch.randn(rows, 64, generator=draw) for rows in (64, 32, 32))
        gate, up, down = (torch.randn(*shape, generator=draw) for shape in ((96, 64), (96, 64), (64, 96)))
        names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        apart |= {f"{at}{name}.weight": W for name, W in zip(names, (q, k, v, gate, up))}
        fused |= {f"{at}self_attn.qkv_proj.weight": torch.cat([q, k, v])}
        fused |= {f"{at}mlp.gate_up_proj.weight": torch.cat([gate, up])}
        for state in (apart, fused):
            state[f"{at}mlp.down_proj.weight"] = down
    return apart, fused


AS_PHI = {"*qkv_proj.weight": "qkv:64,32,32", "*gate_up_proj.weight": "rows:gate=96,up=96"}


@pytest.fixture
def phi(tmp_path):
    """The fused one as a folder whose config says what the tensors hold."""
    save_file(apart_and_fused()[1], tmp_path / "model.safetensors")
    config = {"model_type": "phi3", "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 96}), "utf-8")
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "model."])
def test_fused_projections_are_held_against_those_stored_apart(phi, prefix):
    """Part by part, whichever model has them fused, under another prefix too; a change is found in its part."""
    moved = {name.removeprefix(prefix): W for name, W in apart_and_fused()[0].items()}
    at = "model.layers.1.self_attn.k_proj.weight".removeprefix(prefix)
    moved[at] = moved[at] + torch.ones(32, 1) @ torch.ones(1, 64)
    for base, tuned in ((phi, moved), (moved, phi)):
        found = ww.compare(base, tuned)
        table = found.table()
        assert len(table) == 12
        changed = table[table["update_norm"] > 0]
        assert changed["update_rank"].tolist() == [1.0]
        assert changed["update_norm"].tolist() == pytest.approx([(32 * 64) ** 0.5], rel=1e-6)
        assert "self_attn." in changed["longname"].item()
        assert "k_proj" in changed["longname"].item() + changed["reason"].item()
        assert any("fused tensor" in remark for remark in found.remarks)
        # Of kept results the same rows meet.
        kept = ww.compare(*(ww.examine(model, progress=False) for model in (base, tuned)))
        assert len(kept) == 12
        moved_rows = kept.table().query("d_log_norm != 0")[["longname", "slice"]].values.tolist()
        assert moved_rows == changed[["longname", "slice"]].values.tolist()
        # The whole of a fused tensor has no partner.
        other = "tuned" if base is phi else "base"
        told = {f"the {other} model has its parts apart: they are compared"}
        assert set(kept.unmatched["reason"]) == told
        assert set(found.unmatched["reason"]) == (told if base is phi else set())


def test_parts_of_other_sizes_and_parts_that_are_not_known_are_said():
    apart, fused = apart_and_fused()
    other = {**apart, "model.layers.0.self_attn.k_proj.weight": torch.ones(64, 64)}
    found = ww.compare(fused, other, layouts=AS_PHI)
    (said,) = found.unmatched.query("side == 'both'")["reason"]
    assert said == "its shape is 32 x 64 in the base and 64 x 64 in the tuned model"
    # Without a config nothing says where q ends.
    found = ww.compare(fused, apart)
    assert len(found) == 2
    assert "layouts" in found.unmatched.query("side == 'base'")["reason"].str.cat()
    # What is said of the tensors of one model alone is not refused by the other; what names none is.
    assert len(ww.compare(apart, fused, layouts=AS_PHI)) == 12
    with pytest.raises(ww.InvalidInput, match="nothing_"):
        ww.compare(apart, fused, layouts={"nothing_*": "skip"})


def test_a_fused_tensor_of_both_is_compared_as_it_is():
    """Though the other has a layer of a part's name as well."""
    _, fused = apart_and_fused()
    other = {**fused, "model.layers.0.self_attn.q_proj.weight": torch.eye(64)}
    found = ww.compare(fused, other, layouts=AS_PHI)
    assert (found.table()["update_norm"] == 0).all()
    assert found.unmatched["longname"].tolist() == ["model.layers.0.self_attn.q_proj"]
