"""Text for people at every width: names, numbers, tables, cards."""

from __future__ import annotations

from setol_ww.core import printable
from setol_ww.core.card import Card, Fact, card_line, card_text, chance_text, number_text, outcome_fact
from setol_ww.core.colour import painted, words_painted
from setol_ww.core.outcomes import Outcome
from setol_ww.core.printable import GridColumn, cells, grid, terminal_width, visible, wrapped
from setol_ww.core.tones import Tone, gravest

TEXTS = (
    "", "a", "word", "model.layers.0.self_attn.q_proj", "encoder.layer.14.attention.self.value", "層.層層.層",
    "few eigenvalues, uneven rows, little power", "integers are no weights as they stand", "onewordthatisverylong x",
    "tab\tline\nreturn\rbell\x07", "\x1b[31mred", "\u202eturned", "\U000e0041tag", "\u2028line", "\ud800half",
    "a.b.c.d.e", "10.200.3000.40000", "one, two, three, four, five", "\xff\xa0", "\ue000 \uffff \U0001f600",
    "e\u0301t\u0301.e", "  two  blanks ",
)  # fmt: skip


def texts() -> str:
    """Every function of `printable` on every text and some widths."""
    parts = [f"{text!r}: {visible(text)} {cells(text)}" for text in TEXTS]
    for name in ("shortened", "first_words", "first_parts", "abbreviated", "padded"):
        cut = getattr(printable, name)
        for text in TEXTS:
            shown = [f"{width} [{visible(cut(text, width))}]" for width in range(1, 46)]
            # What was there is there again from the width on at which it fits.
            seen = [one for number, one in enumerate(shown) if not number or one[3:] != shown[number - 1][3:]]
            parts.append(f"{name} {text!r}: {' '.join(seen)}")
    parts.append(printable.padded("ab", 5, right=True) + "|" + printable.padded("層", 5, right=True) + "|")
    parts.append(" ".join(f"{width} {terminal_width(width)}" for width in (0, 59, 60, 61, 199, 200, 201)))
    for text in (*TEXTS[6:9], TEXTS[5], "a bb ccc dddd 層層層 eeeee ffffff"):
        for width in (1, 4, 9, 10, 11, 24):
            parts.append(
                f"wrapped {width}: {wrapped(text, width)!r} {wrapped(text, width, first='- ', later='    ')!r}"
            )
    return "\n".join([*parts, *tables(), *cards(), *colours()])


def tables() -> list[str]:
    """One table at every width at which it looks otherwise, plain and painted."""
    columns = [
        GridColumn("layer", ["fc1", "model.layers.0.mlp", "層層"], right=False, least=6),
        GridColumn("N x M", ["100 x 10", "1 x 1", "20 x 20"], worth=1),
        GridColumn("alpha", ["2.03", "-", "11.5"], tones=[Tone.GOOD, Tone.PLAIN, Tone.BAD]),
        GridColumn("flags", ["few eigenvalues, uneven", "", "x"], False, worth=2, least=8, cut=printable.first_parts),
        GridColumn("state", ["ideal", "undetermined", "under-trained"], right=False, worth=1),
    ]
    found: dict[str, int] = {}
    for width in range(4, 90):
        found.setdefault(grid(columns, width), width)
    parts = [f"from {width}\n{text}" for text, width in found.items()]
    parts.append(repr(grid(columns, 60, colour=True)))
    return [*parts, grid([], 10), grid([GridColumn("a", [])], 10), grid(iter(columns[:1]), 2)]


def cards() -> list[str]:
    """Cards in lines and in one."""
    facts = [
        Fact("alpha", "2.03 ± 0.05", Tone.GOOD, "of a tail that is long enough to be told from noise"),
        Fact("層", "said", Tone.BAD),
        Fact("a longer name", "\x1b[31mx", more="and more of it"),
        Fact("empty", ""),
    ]
    table = [GridColumn("layer", ["fc1"], right=False), GridColumn("n", ["3"], tones=[Tone.CAUTION])]
    every = {
        "full": Card(
            "A title that is rather long for a terminal of sixty columns, so it goes on", facts, ["A note.", ""]
        ),
        "a table": Card("Table", [], ["First note. Second note.", "Third."], table),
        "a long note": Card("Table", [], [f"{'word ' * 30}end. Second."]),
        "no note": Card("Only a title", []),
        "nothing": Card("", []),
        "long facts": Card("T", [Fact("one", "x" * 120), Fact("two", "y")]),
        "many facts": Card("T", [Fact(f"fact {number}", "value") for number in range(12)]),
    }
    parts = []
    for name, card in every.items():
        for width in (10, 60, 75, 120):
            parts.append(f"{name} in {width}\n{card_text(card, width)}")
        parts += [repr(card_text(card, 75, colour=True)), card_line("Result", card), card_line("R" * 60, card)]
    for long in (86, 87, 88, 89):
        # A note that is whole up to a hundred columns, and facts as many as fit.
        parts.append(card_line("Table", Card("T", [], [f"{'x' * long}. y"])))
        parts.append(card_line("Fit", Card("T", [Fact("a", "x" * 60), Fact("b", "y" * (long - 63)), Fact("c", "z")])))
    parts += [f"{outcome.value}: {outcome_fact('tail', outcome)}" for outcome in Outcome]
    numbers = (0.12345, 1234.5, None, float("nan"), float("inf"), 0, -0.00012)
    parts.append("  ".join(f"{number_text(value)} {number_text(value, '.1f')}" for value in numbers))
    return [*parts, "  ".join(chance_text(p) for p in (1.0, 0.0567, 1e-299, 1.1e-300, 1e-300, 1e-301, 0.0))]


def colours() -> list[str]:
    """What is painted, and which tone is the gravest."""
    words = {"ideal": Tone.GOOD, "not ideal": Tone.BAD, "plain": Tone.PLAIN, "so so": Tone.CAUTION}
    told = ("1 ideal, 2 not ideal", "3 plain", "ideal", " 4 so so, ", "5 ideal,, 6 unideal", "", "ideal 7 ideal, x")
    pairs = [(one, other) for one in Tone for other in Tone]
    return [
        *(repr(painted(text, tone)) for text in ("word", "  two\n lines", "", "\n") for tone in Tone),
        *(repr(words_painted(text, words)) for text in told),
        " ".join(f"{one.value}+{other.value}={gravest([one, other]).value}" for one, other in pairs),
        gravest([]).value,
    ]
