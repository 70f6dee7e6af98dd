"""How a number came about, as a word for the table and a sentence for a reader."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """How a number came about. The value is the word in the table, `sentence` says it to a reader.

    >>> Outcome.FLAT.value, Outcome.FLAT.sentence
    ('flat', 'all eigenvalues are equal within rounding')
    """

    sentence: str

    OK = "ok", "computed as defined"
    FLAT = "flat", "all eigenvalues are equal within rounding"
    RANK_LIMITED = (
        "rank_limited",
        "the log-determinant is still positive at the last non-zero eigenvalue: det = 1 cannot be met",
    )
    DEGENERATE = "degenerate", "no positive finite eigenvalue, so nothing is defined"
    TOO_FEW = "too_few", "fewer than two distinct positive eigenvalues, so there is no tail to fit"
    SMALL_SAMPLE = "small_sample", "fewer than 20 positive eigenvalues: the fit is the usual one but says little"
    POOR_FIT = "poor_fit", "the tail is no power law: its KS distance is above the 1 % critical value"
    NO_BULK = "no_bulk", "the eigenvalues below the edge of the noise do not follow a Marchenko-Pastur law"

    def __new__(cls, word: str, sentence: str) -> Outcome:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member
