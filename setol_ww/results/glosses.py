"""A few plain words for each term that a summary uses."""

from __future__ import annotations

from collections.abc import Iterable

#: What a mean is of.
MEANS = {
    "tail_alpha": "steepness of the tail of large eigenvalues; 2 is the ideal",
    "delta_lambda_min": "power-law tail's start minus that of the tail whose product is 1",
    "q2_norm": "the theory's quality of a layer, geometric mean",
    "stable_rank": "how many directions carry the weights",
}
#: Classes and flags by how they begin.
WORDS = {
    "random-like": "as independent noise is",
    "bulk+spikes": "noise and strong directions, no tail",
    "weakly heavy-tailed": "beyond noise, large eigenvalues thin out fast",
    "heavy-tailed": "beyond noise, eigenvalues on all scales",
    "very heavy-tailed": "beyond noise, with alpha below 2",
    "rank collapse": "half of the eigenvalues or more are zero",
    "trap": "outlier that stays when the entries are shuffled",
    "uneven": "lines of unequal strength",
    "little power": "noise or a weak heavy tail",
}


def glosses(words: Iterable[str]) -> str:
    """Those of the words that have one, each once: `trap` for all of `trap: mean shift`, `trap: element`, ...

    Examples
    --------
    >>> glosses(["random-like", "trap: element", "trap: spread"])
    'random-like: as independent noise is; trap: outlier that stays when the entries are shuffled'
    """
    told = {
        key: said
        for word in words
        for key, said in WORDS.items()
        if word == key or word.startswith((f"{key}:", f"{key} "))
    }
    return "; ".join(f"{key}: {said}" for key, said in told.items())
