"""What this project measured of each advice, said beside it. A test holds the numbers against docs/figures/advice."""

from __future__ import annotations

NOT_MEASURED = "not tried in this project: whether following it helps is open"
READOUT = "alpha is a readout here, not a knob: nothing set by it was found to help (docs/findings.md)"
MEASURED: dict[str, str] = {
    "learning-rates": (
        "MLP3 on MNIST, 5 seeds, each at its best rate of five: test error +0.05 ± 0.04 points against plain "
        "SGD, +0.01 ± 0.05 points against the reversed order of the layers; no difference is found, and at "
        "the largest rate 2 of 5 runs diverge where plain SGD does not"
    ),
    "weight-decay": (
        "MLP3 on MNIST, 5 seeds, each at its best decay of two: test error -0.05 ± 0.03 points against one "
        "decay for all, +0.02 ± 0.05 points against the reversed order of the layers: no difference is found"
    ),
    "sparsity": (
        "at 90 %, no layer cut by more than 95 %: MLP3, 5 seeds, +12.06 ± 1.70 points of error against uniform, +29.03 "
        "± 3.52 against ERK; ResNet-20 +8.75 ± 2.46 and +0.00 ± 2.12; as published at chance from 60 % on"
    ),
    "truncate": (
        "points of error against one share of energy in every layer at equal parameters: by energy, MLP3 at "
        "10 % -30.88 ± 1.39 and ResNet-20 at 60 % -29.83 ± 2.73; by ERG, +42.08 ± 1.62 and +9.50 ± 2.44. Plan "
        "by energy"
    ),
    "lora-rank": (
        "digits 5 to 9 after 0 to 4, a net of seven layers, 5 seeds, points of error against one rank everywhere at "
        "equal parameters: by ERG +0.26 ± 0.42 at rank 4 and -0.23 ± 0.19 at rank 16, by spikes -0.02 ± 0.23 and +0.10 "
        "± 0.17: no difference is found"
    ),
    "unfreeze": (
        "digits 5 to 9 after 0 to 4, two of five layers of one size, 5 seeds, points of error: by snr +7.01 ± 4.14 "
        "against two at random and -3.44 ± 1.85 against the topmost two, by edge -12.75 ± 3.60 and -23.19 ± 0.67, no "
        "better than the two nearest to the input (+0.41 ± 0.29)"
    ),
}


def measured(target: str) -> str:
    """The sentence for a target."""
    return MEASURED.get(target, NOT_MEASURED)
