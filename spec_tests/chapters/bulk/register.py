"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "BULK-01",
        "The standard deviation of noise is that of its entries, square and rectangular.",
        "theory 4.1",
        ("bulk",),
        "5 / sqrt(N M), seven standard deviations of the trace",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-02",
        "Noise has a spike no more often than the level of the edge test says.",
        "theory 4.1; Johnstone 2001",
        ("bulk",),
        "at most 16 of 400 draws at level .01",
        "statistical",
        "below 1e-5 of the 400 draws",
    ),
    Clause(
        "BULK-03",
        "Every planted spike is counted, although spikes carry up to 80 % of the norm.",
        "theory 4.4; landscape 2.9",
        ("bulk",),
        "the planted number, one more in a draw of noise above the level",
        "statistical",
        "below 1e-3 (two noise eigenvalues above the level)",
    ),
    Clause(
        "BULK-04",
        "Spikes with up to 80 % of the norm move neither sigma nor the edges.",
        "theory 4.1, 4.4",
        ("bulk",),
        "sigma 6 / sqrt(N M); edge (2 spikes + 14) / sqrt(N M), relative",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-05",
        "The scale of W moves sigma and the edges with it and no spike.",
        "theory I1",
        ("bulk",),
        "1e-9 relative",
    ),
    Clause("BULK-06", "Zero, flat and tiny spectra have no bulk, and no numbers made up for one.", "api 4", ("bulk",)),
    Clause(
        "BULK-07",
        "Dead columns are left out: sigma is that of the live ones.",
        "theory D2",
        ("bulk",),
        "6 / sqrt(N M)",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-08",
        "Pooled kernel slices have one sigma, and a spike of one slice is one spike.",
        "theory §8, W7",
        ("bulk",),
        "6 / sqrt(slices N M); planted number or one more",
        "statistical",
        "below 1e-3",
    ),
    Clause(
        "BULK-09",
        "A signal below the BBP threshold is no spike.",
        "theory 4.4",
        ("bulk",),
        "none in at least five of nine draws",
        "statistical",
        "below 1e-4",
    ),
)
