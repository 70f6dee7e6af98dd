"""Tensors whose matrices are told by names, shapes, classes and configs: a line each, those of one model together."""

from __future__ import annotations

import ast
from typing import Any

from setol_ww.weights.tensors import WeightTensor


def tensors_of(text: str) -> list[WeightTensor]:
    """Lines `name AxB [Class] [fact=value ...]`; the holder of a module is a fact too."""
    found = []
    for index, line in enumerate(filter(None, map(str.strip, text.strip().split("\n")))):
        name, sides, *rest = line.split(" ")
        facts = dict(word.split("=", 1) for word in rest if "=" in word)
        owner = next((word for word in rest if "=" not in word), "")
        known: dict[str, Any] = {
            key: value if key == "holder" else ast.literal_eval(value) for key, value in facts.items()
        }
        shape = tuple(map(int, sides.split("x")))
        found.append(WeightTensor(name, shape, "float32", lambda: None, owner, index if owner else -1, facts=known))
    return found


SMALL = {"hidden_size": 8, "num_attention_heads": 4}
TIMM = "holder=timm.layers.attention.Attention"
HEAD_FIRST = "holder=timm.models.maxxvit.AttentionCl holder.head_first={} holder.num_heads=2"

#: Models, by the config beside them.
MODELS: list[tuple[str, dict[str, Any], str]] = [
    (
        "matrices, vectors and what is left",
        {},
        """
        fc.weight 8x4
        fc2.weight 1x4
        fc3.weight 1x1
        table.weight 8x4 Embedding
        head 4x8
        a.weight 1x1x8x4
        a 1x8x4
        b 1x8x1
        c 1x1x1x8
        d 2x8x4
        e.weight 2x8x4
        f.weight 2x3x8x4x5
        g 2x3x8x4
        h.weight 2x1x8x4 Linear
        experts.w1 3x8x4
        moe.w2.weight 2x2x8x4
        experts.gate_up_proj 2x8x4
        stack.gate_up_proj 2x8x4
        one.weight 2x1x1
        """,
    ),
    (
        "convolutions by names and shapes",
        {},
        """
        conv1.weight 8x4x3x3
        conv2.weight 8x4x3
        conv3.weight 8x4x11
        conv4.weight 8x4x12
        conv5.weight 40x40x32
        conv6.weight 40x40x33
        conv7.weight 8x1x40
        conv8.weight 1x8x40
        c1.weight 8x4x3
        c2.weight 40x20x11
        c3.weight 40x20x12
        c4.weight 8x4x4
        c5.weight 8x1x5
        c6 8x4x3
        c7.weight 8x4x3x3x3
        c8.weight 1x8x4x3x3x3
        c9.weight 8x3x3x4
        c10.weight 8x3x5x4
        c11.weight 40x32x32x5
        c12.weight 40x33x33x5
        c13.weight 1x8x3x3
        c14.weight 8x1x3x3
        c15.weight 1x1x3x3
        c16.weight 8x1x1x4
        attn.qkv 1x1x1x1
        conv7d.weight 1x1x8x4x3
        moe.conv.weight 8x4x3
        conv_in.kernel 3x3x4x8
        dense.kernel 3x4x8
        conv1d.kernel 3x4x8
        conv1d_1.kernel 12x4x8
        conv1d_2.kernel 12x4x11
        conv1d_3.kernel 32x40x50
        conv1d_4.kernel 33x40x50
        conv_t.kernel 8x4x3x3
        x.depthwise_kernel 3x3x4x1
        x.pointwise_kernel 1x1x4x8
        conv.weight 16x16x1x1x1
        convs.weight 2x8x4x3x3
        convx.weight 1x4x2x1x4x2
        """,
    ),
    (
        "a bias tells a convolution from a stack",
        {},
        """
        a.conv.weight 8x4x3
        a.conv.bias 8
        b.conv.weight 3x4x8
        b.conv.bias 8
        c.conv.weight 8x4x8
        c.conv.bias 8
        d.conv.weight 16x4x12
        d.conv.bias 16
        e.conv.weight 64x40x32
        e.conv.bias 64
        f.conv.weight 64x40x33
        f.conv.bias 64
        g.conv.weight 8x4x3
        g.conv.bias 4
        h.conv.weight 8x4x32
        h.conv.bias 8
        i.conv.weight 8x4x33
        i.conv.bias 8
        """,
    ),
    (
        "convolutions by their class",
        {},
        """
        a.weight 8x4x3x3 Conv2d
        b.weight 8x4x3 Conv1d
        c.weight 8x4x3x3x3 ConvTranspose3d
        d.weight 2x8x4x3x3 Conv2d
        e.weight 1x8x4x3 Conv1d
        f.weight 8x2x3x3 Conv2d groups=2
        f2.weight 8x2x3 Conv1d groups=2
        f3.weight 8x1x3 Conv1d groups=8
        f4.weight 8x1x3x3 Conv2d groups=8
        f5.weight 9x2x3 Conv1d groups=2
        f6.weight 8x1x3x3 Conv2d groups=1
        f7.weight 8x1x3 Odd groups=1 kernel_size=(3,)
        f8.weight 1x8x3x3 Conv2d groups=1
        g.weight 8x3x3x4 Conv2d in_channels=4 out_channels=8 kernel_size=(3,3)
        g2.weight 3x3x4x8 Conv2d in_channels=4 out_channels=8 kernel_size=3
        g3.weight 8x3x5x4 Conv2d in_channels=4 out_channels=8 kernel_size=(3,5)
        g4.weight 8x4x3x3 Conv2d in_channels=4 out_channels=8 kernel_size=(5,5)
        g5.weight 8x2x3x3 Odd in_channels=4 out_channels=8 groups=2 kernel_size=(3,3)
        h.weight 2x8x4 Bilinear
        i.weight 8x4x3 GraphConv
        j.weight 8x4x3 LSTM
        k.weight 8x4x3 LinearConv
        l.kernel 8x4x3 Conv1d
        m.w 8x4x3 Conv1d
        n.W 8x4x3 Conv1d
        o.weights 8x4x3 Conv1d
        p.other 8x4x3 Conv1d
        q.weight 8x4x3 Odd axes=(1,2)
        r.weight 8x4x3 Odd kernel_size=(3,)
        s.weight 1x8x4x3x3 Conv3d
        t.weight 8x4x5x3x3 Conv3d
        u.weight 8x3x3x4 Conv2d
        """,
    ),
    (
        "channels last of MLX",
        {"weights_format": "mlx"},
        """
        conv1.weight 8x3x4
        conv2.weight 8x3x3x4
        conv3.weight 8x12x4
        c1.weight 8x3x4
        c2.weight 8x12x4
        c3.weight 8x11x16
        x.kernel 3x4x8
        conv4.weight 8x3x4
        conv4.bias 4
        conv5.weight 8x32x4
        conv6.weight 8x33x4
        """,
    ),
    (
        "recurrent weights",
        {},
        """
        lstm.weight_ih_l0 32x5 LSTM
        lstm.weight_hh_l0 32x8 LSTM
        gru.weight_ih_l0 24x5 GRU
        gru.weight_hh_l0_reverse 24x8 GRU
        rnn.weight_ih_l0 8x5 RNN
        rnn.weight_hh_l0 8x8 RNN
        cell.weight_ih 32x5 LSTMCell
        cell2.weight_hh 24x8 GRUCell
        cell3.weight_hh 8x8 RNNCell
        odd.weight_ih_l0 33x5 LSTM
        a.weight_ih_l0 32x5
        a.weight_hh_l0 32x8
        b.weight_ih_l0 24x5
        b.weight_hh_l0 24x8
        c.weight_ih_l0 8x5
        c.weight_hh_l0 8x8
        d.weight_ih_l0 32x5
        e.weight_hh_l0 32x8
        p.weight_ih_l0 32x5
        p.weight_hh_l0 32x4
        p.weight_hr_l0 4x8
        k.kernel 5x32
        k.recurrent_kernel 8x32
        g.kernel 5x24
        g.recurrent_kernel 8x24
        r.kernel 5x8
        r.recurrent_kernel 8x8
        o.kernel 5x30
        o.recurrent_kernel 8x32
        my.weight_ih_l0 32x5 MyLSTM
        my.weight_hh_l0 32x8 MyLSTM
        lstm.weight_ih_l1 32x5x1 LSTM
        """,
    ),
    (
        "kernels of attention with an axis for heads",
        {},
        """
        att.query.kernel 8x2x4
        att.key.kernel 8x2x4
        att.value/kernel 8x2x4
        att.attention_output.kernel 2x4x8
        att.out.kernel 2x4x8
        att.query.kernel2 8x2x4
        att.outer.kernel 3x4x8
        """,
    ),
    (
        "fused projections that nothing tells",
        {},
        "\n".join(
            f"m{number}.{name}.weight 24x8"
            for number, name in enumerate(
                ("qkv", "qkv_proj", "Wqkv", "wqkv", "query_key_value", "W_pack", "to_qkv", "att_proj", "linear_qkv")
                + ("qkv_linear", "to_added_qkv", "attn_qkv", "c_qkv", "qkv_lin", "proj_qkv", "qkv_layer", "mixed_qkv")
                + ("fused_qkv", "qkv_w", "to_qkv_mlp_proj", "my_QKV", "kv", "to_kv", "kv_proj", "key_value", "Wkv")
                + ("wkv", "kv_linear", "proj_kv", "c_kv", "key_value_proj", "w12", "in_proj_qkv", "in_proj_qkvz")
                + ("in_proj", "kv_b_proj", "kv_a_proj_with_mqa", "gate_up_proj", "gate_up", "gateup_proj")
                + ("up_gate_proj", "w13", "c_attn", "k_proj", "kvx")
            )
        )
        + """
        n1.qkv.weight 26x8
        n2.qkv.weight 24x8x1x1
        n3.qkv.weight 24x8x3x3
        n4.qkv 24x8
        n5.in_proj.weight 8x8
        n6.in_proj.weight 9x8
        n7.c_attn.weight 8x24
        n8.c_attn.weight 8x25
        crossattention.c_attn.weight 8x16
        n9.c_attn.weight 8x16
        n10.c_attn.weight 8x24 Conv1D
        n11.in_proj_weight 24x8
        n12.in_proj_weight 25x8
        n13.in_proj_weight 24x8 MultiheadAttention
        n14.in_proj_weight 24x8 Mixer
        n15.in_proj_weight 24x8 Mixer
        n15.out_proj.weight 8x8
        n16.in_proj_weight 24x8x1
        n17.qkv.weight 24x8 Linear
        """,
    ),
    ("fused projections of a model that is not known", {"model_type": "newest"}, "a.qkv.weight 24x8\nb.fc.weight 8x8"),
    (
        "fused projections of an architecture that is not known",
        {"architecture": "newest"},
        "a.qkv.weight 24x8\nb.to_kv.weight 16x8",
    ),
    (
        "what holds a fused projection",
        {},
        f"""
        a.qkv.weight 24x8 Linear {TIMM}
        b.qkv.weight 24x8 Linear holder=timm.models.swin.WindowAttention
        c.qkv.weight 24x8 Linear holder=timm.models.eva.AttentionRope
        d.qkv.weight 24x8 Linear holder=timm.models.other.Other
        e.qkv.weight 24x8 Linear {HEAD_FIRST.format(True)}
        f.qkv.weight 24x8 Linear {HEAD_FIRST.format(False)}
        g.qkv.weight 24x8x1x1 Conv2d {HEAD_FIRST.replace("AttentionCl", "Attention2d").format(True)}
        h.qkv.weight 24x8x1x1 Conv2d {HEAD_FIRST.replace("AttentionCl", "Attention2d").format(False)}
        i.qkv.weight 25x8 Linear {TIMM}
        j.qkv.weight 24x8 Linear {TIMM} holder.head_first=True
        k.other.weight 24x8 Linear {TIMM}
        l.qkv.weight 24x8 Linear {HEAD_FIRST.format(True).replace("num_heads=2", "num_heads=3")}
        """,
    ),
    (
        "what lies beside a fused projection",
        {},
        """
        s.attn_block.attn.qkv.weight 24x8
        s.attn_block.attn.rel_pos.relative_position_bias_table 9x2
        t.attn_grid.attn.qkv.weight 24x8
        t.attn_grid.attn.rel_pos.relative_position_bias_table 2x3x3
        u.blocks.0.attn.qkv.weight 24x8x1x1
        u.blocks.0.attn.rel_pos.relative_position_bias_table 9x4
        v.blocks.0.attn.qkv.weight 24x8
        v.blocks.0.attn.relative_position_bias_table 9x4
        w.blocks.0.attn.qkv.weight 24x8
        w.blocks.0.attn.cpb_mlp.0.weight 9x2
        x.blocks.0.attn.qkv.weight 24x8
        y.blocks.0.attn.qkv.weight 24x8
        y.patch_embed.proj.weight 8x3x4x4
        z.blocks.0.attn.qkv.weight 24x8
        z.blocks.0.attn.relative_position_bias_table 9
        """,
    ),
    ("a vision transformer", {}, "blocks.0.attn.qkv.weight 24x8\npatch_embed.proj.weight 8x3x4x4"),
    (
        "a config that does not fit",
        {**SMALL, "model_type": "llama"},
        "a.qkv_proj.weight 25x8\nb.mlp.gate_up_proj.weight 10x8\nc.fc.weight 8x8",
    ),
    (
        "the model inside",
        {"model_type": "outer", "text_config": {**SMALL, "model_type": "llama", "num_key_value_heads": 2}},
        "a.qkv_proj.weight 16x8",
    ),
    ("a config without numbers", {"model_type": "llama", "hidden_size": "8"}, "a.qkv_proj.weight 16x8"),
    (
        "heads of no width",
        {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 3},
        "a.qkv_proj.weight 16x8",
    ),
    ("no heads", {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 0}, "a.qkv_proj.weight 16x8"),
    ("a width that is true", {**SMALL, "model_type": "llama", "head_dim": True}, "a.qkv_proj.weight 24x8"),
    (
        "a table that is not trained",
        {"model_type": "whisper"},
        "model.encoder.embed_positions.weight 8x8\nmodel.decoder.embed_positions.weight 8x8",
    ),
    (
        "tables, masks and constants",
        {},
        "\n".join(
            f"{name} 4x4"
            for name in (
                *(
                    "rope_cache",
                    "cos_cached",
                    "cached_sin",
                    "cos_table",
                    "rotary_cos",
                    "sin",
                    "pos_emb.cache",
                    "inv_freq",
                ),
                *("freqs_cis", "rotary_pos_freqs", "rope_freqs", "freqs_cos", "pe", "pos_table", "position_table"),
                *("embed_positions.weights", "_float_tensor", "sinusoids", "alibi_slopes", "tril", "causal_mask"),
                *("my_attn_mask", "attention_mask", "masked_bias", "x_mask", "relative_coords_table", "rel_coord_h"),
                *("relative_position_index", "bias_idxs", "attention_bias_idxs", "rel_pos_index", "token_type_ids"),
                *("relative_position_bucket", "some_ids", "running_mean", "moving_variance", "num_batches_tracked"),
                *("batch_var", "embed_avg", "cluster_size", "queue_ptr", "A_log", "A_b_logs", "ssm_a", "dt_bias"),
                *("log_A_real", "A_imag", "time_decay", "noise_const", "resample_filter", "w_avg", "blur.kernel"),
                *("filter_kernel", "anchors", "anchor_grid", "hann_window", "forward_basis", "eye", "permutation"),
                *("hadamard", "had_K", "adjacency_matrix", "laplacian", "class_weights", "pos_weight", "mel_filters"),
                *("melW", "fb", "filterbank", "shared_image_embedding.positional_embedding", "my_gaussian_matrix"),
                *("layer/mask:0", "a.pe:0", "eyes", "fbx", "maskx", "mypex", "queues", "windows", "spe"),
            )
        ),
    ),
]

#: What a user says of a tensor: its shape, and the words.
SAID: tuple[tuple[str, str], ...] = tuple(
    (shape, words)
    for shape, every in (
        (
            "24x8",
            "dense|dense:1|skip|skip:x|qkv:8,8,8|qkv:8,8,8 x 2|qkv:8,8,8 x 3|qkv:4,2,2|qkv:8,8|qkv:8,8,9|qkv:0,12,12|"
            "qkv:8,8,8 x 0|qkv:a,b,c|qkv:8,8,8 x 2,2|rows:q=8,k=8,v=8|rows:q=8,k=16|rows:q=8,q=16|rows:q=8,k=15|"
            "rows:q=0,k=24|rows:q=1,k=23|rows:gate=12,up=12 x 4|rows:gate=12,up=12 x 5|rows:gate=12,up=12 x 0|"
            "rows:gate=12,up=12 x 12|rows:gate=12,up=12 x |rows:|rows:q|columns:a=4,b=4|columns:a=4,b=4 x 2|"
            "columns:a=4,b=4 x 4|columns:a=12,b=12|stack:2|stack:3|stack:24|stack:1|stack:5|stack:0|stack|stack:2,3|"
            "rows:q=4,k=4,v=4,latent=4,rope=4,gate=4|"
            "gates:3|gates:4|gates:2|gates:5|gates:3,4|fold:1|fold:0|fold:2|fold:1,2|fold|kernel:0,1|other|: |",
        ),
        (
            "4x6x3",
            "dense|qkv:2,2,2|rows:a=2,b=4|rows:a=2,b=4 x 2|columns:a=1,b=2|stack|stack:4|stack:3|gates:3|fold:1|fold:2|"
            "fold:3|kernel|kernel:|kernel:0,1|kernel:1,0|kernel:0,2|kernel:1,2|kernel:0,0|kernel:0,3|kernel:-1,0|"
            "kernel:0|kernel:0,1,2|kernel:0,1 x 2|kernel:0,1 x 4|kernel:0,1 x 3|kernel:0,1 x 0|kernel:0,1 x 1,2|skip",
        ),
        (
            "2x3x4x6",
            "stack|stack:6|stack:2|stack:6,1|rows:a=2,b=2|columns:a=2,b=4|columns:a=2,b=4 x 2|kernel:2,3|fold:2",
        ),
        ("24x8x1x1", "qkv:8,8,8|rows:a=12,b=12 x 2|columns:a=4,b=4|columns:a=4,b=4 x 4|kernel:0,1|dense|stack"),
        ("1x8x4", "dense|rows:a=4,b=4|stack|stack:1"),
    )
    for words in every.split("|")
)
