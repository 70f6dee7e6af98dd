"""A tensor that is no weight: masks, tables of positions, running statistics; or because the user says so."""

from __future__ import annotations

import re

from .registry import Layout, Reading, Situation, refused

#: By the last word of a name: what a tensor is that is no weight. What is called `X.weight` belongs to a layer.
NO_WEIGHTS: tuple[tuple[str, str], ...] = (
    (
        r"_?(cos|sin|cos_sin|rope)_?cache(d)?|cached_(cos|sin)|(cos|sin)_(table|emb)|(rope|rotary)_(cos|sin)|(cos|sin)|"
        r"(rope|rotary|pos)\w*\.cache",
        "a table of rotary positions",
    ),
    (
        r"(original_)?inv_freq|freqs?_cis|rotary_.*freqs?|rope_freqs?|freqs(_cos|_sin)?",
        "frequencies of rotary positions",
    ),
    (
        r"pe|pos(ition)?_table|(embed_positions|sinusoid\w*)\.weights|_float_tensor|sinusoid\w*|alibi(_slopes|_bias)?",
        "a table of positions that is not trained",
    ),
    (r"tril|triu|tri|causal(_mask)?|.*attn_mask|attention_mask|mask(ed_bias)?|.*_mask", "a mask"),
    (r"(relative_|rel_)?coord(s|inates?)?(_table|_[hw])?", "a table of coordinates"),
    (r"(relative_)?(position|bias)_(ids?|idxs?|index|indices)|attention_bias_idxs|rel_pos_(index|indices)", "an index"),
    (r"relative_position_bucket|token_type_ids|position_ids|.*_ids", "indices"),
    (r"running_(mean|var)|moving_(mean|variance)|num_batches_tracked|batch_(mean|var)", "running statistics"),
    (r"embed_avg|cluster_size|queue|queue_ptr", "running statistics of the data"),
    (
        r"A_(\w+_)?logs?|ssm_a|dt_bias|log_A(_\w+)?|A_(real|imag)|time_(decay|first|faaaa)",
        "rates of decay, no linear map",
    ),
    (r"noise_const|resample_filter|w_avg|blur[_.]kernel|(blur_)?filter_kernel", "a constant of the architecture"),
    (r"anchors?|anchor_(grid|points)|(\w+_)?window|(forward|inverse)_basis", "a constant of the architecture"),
    (r"eye|identity|perm(utation)?|hadamard(_matrix)?|had_[KkM]", "a constant of the architecture"),
    (r"adj(acency)?(_matrix)?|laplacian", "a graph"),
    (r"class_weights?|pos_weight", "weights of a loss"),
    (r"mel_(filters|basis|fb)|melW|fb|filter_?bank", "a bank of filters that is not trained"),
    (r"shared_image_embedding\.positional_embedding|.*gaussian_(fourier_)?matrix", "random Fourier features"),
)
ANY = re.compile(rf"(?:^|[./])(?:{'|'.join(pattern for pattern, _ in NO_WEIGHTS)})(?::0)?$")
PATTERNS = tuple((re.compile(rf"(?:^|[./])(?:{pattern})(?::0)?$"), what) for pattern, what in NO_WEIGHTS)


def no_weight(name: str) -> str:
    """What a tensor of this name is, if it is no weight; else empty.

    >>> no_weight("layers.0.rotary_emb.cos_cached"), no_weight("fc.weight")
    ('a table of rotary positions', '')
    """
    if not ANY.search(name):
        return ""
    return next(what for pattern, what in PATTERNS if pattern.search(name))


def _recognise(situation: Situation) -> Reading | None:
    what = no_weight(situation.name)
    if not what:
        return None
    return Reading((), "names", f"no weight: '{situation.parameter}' is {what}")


def _asked(situation: Situation, words: str) -> Reading:
    if words:
        raise refused(situation, f"skip:{words}", "skip")
    return Reading((), "asked", "left out: layouts= says that it is no weight")


LAYOUT = Layout("skip", "no weight: left out", 0, _recognise, _asked, "skip")
