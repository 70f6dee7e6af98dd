"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "FARMS-01",
        "The tail is that of all windows cut out by hand and pooled; one window is the matrix itself.",
        "arXiv 2506.06280; theory F1",
        ("eigenvalues", "tail_fit", "window_tail"),
        "1e-9 in alpha",
    ),
    Clause(
        "FARMS-02",
        "Scale changes nothing, nor does orientation where W has a longer side.",
        "theory I1",
        ("window_tail",),
        "1e-9 in alpha",
    ),
    Clause(
        "FARMS-03",
        "Where the windows share out one power law all of their eigenvalues, windows times columns, are in the tail.",
        "arXiv 2506.06280; theory 4.5",
        ("window_tail",),
        "1e-9 in alpha",
    ),
)
