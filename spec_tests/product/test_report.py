"""The HTML report, in a real browser: what it says, how it is used, what it lets through."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.oracles import singular_value_squares
from setol_ww.cli.main import main
from setol_ww.core.printable import visible
from setol_ww.results.printed import has_failed
from setol_ww.results.record import LayerRecord
from setol_ww.results.results import Results
from setol_ww.results.summary import Look
from setol_ww.views.report.curves import POINTS, curves_of, packed
from setol_ww.views.report.page import ENDINGS, LIBRARIES, embedded
from setol_ww.views.report.payload import LEADING, SHOWN_FIRST, page_data
from setol_ww.views.report.words import GLOSSARY, _apart, because, headline, next_step
from spec_tests.browser import browsing

VENDOR = Path(ww.__file__).parent / "views" / "report" / "vendor"
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "\"quoted\" 'both' `ways` ${alert(4)}",
    "right\u202eto\u200fleft",
    "-->]]>&amp;<!--",
    "long" * 75,
)


@pytest.fixture(scope="module")
def model() -> dict[str, np.ndarray]:
    """Twelve layers: noise, spikes, heavy tails, an outlying element, what is no matrix, what fails."""
    rng = np.random.default_rng(0)
    tensors = {f"blocks.{i}.weight": rng.normal(size=(160, 90)) for i in range(4)}
    tensors |= {f"heavy.{i}.weight": np.diag(np.sqrt(rng.pareto(0.6 + 0.5 * i, 120) + 1)) for i in range(4)}
    trapped = rng.normal(size=(150, 100))
    trapped[3, 4] = 60
    tensors["trapped.weight"] = trapped
    tensors["kernel.weight"] = rng.normal(size=(40, 30, 3, 3))
    tensors["nan.weight"] = np.full((30, 20), np.nan)
    tensors["one.weight"] = np.outer(np.arange(1.0, 30), np.arange(2.0, 20))
    return tensors


@pytest.fixture(scope="module")
def results(model, tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("model")
    np.savez(folder / "net.npz", **model, words=np.ones((4, 4), np.int8))
    ww.scan(folder / "net.npz", folder / "net.setol", randomize=True)
    return ww.open_results(folder / "net.setol")


@pytest.fixture(scope="module")
def report(results, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    results.report(path)
    return path


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


@pytest.fixture
def visit(browser):
    """Opens a page and, at the end of the test, holds it to silence: no message, no error, no request but its own."""
    opened = []

    def visit(path: Path, anchor: str = "", **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 850}, **settings})
        page, heard = context.new_page(), []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", lambda request: request.url == path.as_uri() or heard.append(request.url))
        page.goto(path.as_uri() + anchor)
        page.wait_for_selector("#grid .tabulator-row")
        opened.append((context, heard))
        return page

    yield visit
    for context, heard in opened:
        context.close()
        assert heard == []


def seen_order(page: Any) -> list[str]:
    return page.locator("#grid .tabulator-row a").all_inner_texts()


def says(page: Any, place: str, pattern: str) -> None:
    """Waits until a place has such a text."""
    pytest.importorskip("playwright.sync_api").expect(page.locator(place)).to_have_text(re.compile(pattern))


def texts(page: Any, places: str) -> list[str]:
    """The texts of many places, folded in or not."""
    return page.locator(places).evaluate_all("all => all.map(one => one.textContent)")


def focused(page: Any, what: str = "el => el.textContent") -> str:
    return page.evaluate(f"({what})(document.activeElement)")


def test_the_page_says_what_the_results_say(visit, report, results):
    page, summary = visit(report), results.summary()
    assert page.title() == "SETOL report: net.npz"
    assert f"{summary.analyzed} layers analysed" in page.inner_text("#short")
    assert f"{len(summary.look_first)} layers call for a look" in page.inner_text("#short")
    for state, count in summary.states.items():
        row = page.locator("#short tr", has_text=state)
        assert row.locator("td").first.inner_text() == str(count)
        assert ww.State(state).next_step in row.inner_text()
    assert page.locator(".card h3 a").all_inner_texts() == [one.title for one in summary.look_first[:SHOWN_FIRST]]
    assert page.locator(".card abbr", has_text="alpha").first.get_attribute("title") == GLOSSARY["alpha"]
    others = texts(page, "#first details li a")
    assert others == [one.title for one in summary.look_first[SHOWN_FIRST:]]
    assert "1 of 13 weight tensors was not analysed" not in page.inner_text("#coverage")
    assert "nan" in page.inner_text("#coverage")
    assert results.fingerprint in page.inner_text("#made")
    assert ww.__version__ in page.inner_text("#made")


def test_a_head_sorts_by_mouse_and_by_key(visit, report, results):
    page = visit(report)
    table = results.of(one for one in results.records if one.status != "skipped").table()
    by_alpha = table.dropna(subset=["tail_alpha"]).sort_values("tail_alpha")["longname"].tolist()
    head = page.locator("#grid .tabulator-col[tabulator-field=tail_alpha]")
    head.locator("button").click()
    assert seen_order(page)[: len(by_alpha)] == by_alpha
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert seen_order(page)[: len(by_alpha)] == by_alpha[::-1]
    assert head.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize(
    "rule, passes",
    [
        ("> 4", lambda alpha: alpha > 4),
        ("<=4", lambda alpha: alpha <= 4),
        ("2..3.5", lambda alpha: (alpha >= 2) & (alpha <= 3.5)),
    ],
)
def test_numbers_are_filtered_by_rules(visit, report, results, rule, passes):
    page = visit(report)
    table = results.of(one for one in results.records if one.status != "skipped").table()
    page.get_by_label("Filter tail_alpha").press_sequentially(rule)
    expected = table[passes(table["tail_alpha"])]["longname"].tolist()
    says(page, "#count", rf"^{len(expected)} of ")
    assert seen_order(page) == expected
    page.get_by_role("button", name="Reset").click()
    says(page, "#count", r"^12 layers\.$")


def test_words_and_states_are_filtered(visit, report, results):
    page = visit(report)
    page.fill("#search", "HEAVY.")
    says(page, "#count", r"^4 of ")
    assert seen_order(page) == [f"heavy.{i}" for i in range(4)]
    page.fill("#search", "trap: element")
    says(page, "#count", r"^1 of ")
    assert seen_order(page) == ["trapped"]
    page.fill("#search", "")
    page.select_option("#state", "under-trained")
    expected = results.summary().states["under-trained"]
    says(page, "#count", rf"^{expected} of ")
    page.get_by_label("Filter layer by part of its name").press_sequentially("nothing has this name")
    page.wait_for_selector("text=No layer passes the filters.")


def test_groups_of_columns_come_and_go_and_say_what_they_are(visit, report):
    page = visit(report)
    kappa = page.locator("#grid .tabulator-col[tabulator-field=kappa1]")
    kappa.wait_for(state="hidden")
    page.get_by_label(re.compile(r"quality \(")).check()
    kappa.wait_for(state="visible")
    page.get_by_label(re.compile(r"quality \(")).uncheck()
    kappa.wait_for(state="hidden")
    head = page.locator("#grid .tabulator-col[tabulator-field=delta_lambda_min] button")
    head.hover()
    page.wait_for_selector(".tabulator-tooltip")
    told = page.inner_text(".tabulator-tooltip")
    for word in ("start of the power-law tail minus start of the ERG tail", "Unit: unit mean", "Eq. 164"):
        assert word in told
        assert word in head.get_attribute("aria-description")


def test_every_column_is_explained(results):
    data = page_data(results)
    assert all(column["meaning"] and column["group"] for column in data["columns"])
    assert data["leading"] == list(LEADING)
    assert {column["name"] for column in data["columns"]} == set(data["cells"])


def test_a_layer_opens_with_its_pictures_and_closes(visit, report, results):
    page = visit(report)
    link = page.locator("#grid a", has_text="heavy.2")
    link.click()
    panel = page.locator("#panel")
    panel.wait_for(state="visible")
    assert page.inner_text("#panel-title") == "heavy.2"
    assert panel.locator(".figures svg[role=img]").count() == 3
    layer = results.layer("heavy.2")
    for said in (
        layer.reason,
        next_step(results.table().set_index("longname").loc["heavy.2"]),
        layer.universality.universality_class.value,
    ):
        assert said in panel.inner_text()
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    says(page, "a:focus", r"^heavy\.2$")
    assert page.evaluate("location.hash") == ""
    page.locator("#grid a", has_text="heavy.3").click()
    panel.get_by_role("button", name="Previous").click()
    says(page, "#panel-title", r"^heavy\.2$")
    panel.get_by_role("button", name="Close").click()
    panel.wait_for(state="hidden")


def test_the_numbers_in_the_panel_are_those_of_the_table(visit, report, results):
    table = results.of(one for one in results.records if one.status != "skipped").table()
    place = table["longname"].tolist().index("heavy.1")
    page = visit(report, f"#layer-{place + 1}")
    page.wait_for_selector("#panel[open] .figures svg")
    told = dict(zip(texts(page, "#panel tr > :nth-child(1)"), texts(page, "#panel tr > :nth-child(2)")))
    for name in ("tail_alpha", "erg_rank", "bulk_lambda_plus", "kappa3", "alpha"):
        assert float(told[name]) == pytest.approx(table[name][place], rel=1e-3), name


def test_the_cut_is_drawn_where_the_product_is_one(visit, report, results):
    """The curve of log det crosses zero at the upright line of k*, as lengths on the screen."""
    table = results.of(one for one in results.records if one.status != "skipped").table()
    page = visit(report, f"#layer-{table['longname'].tolist().index('heavy.1') + 1}")
    page.wait_for_selector("#panel[open] .log-det svg")
    zero, cut, path = page.evaluate(
        """() => {
          const svg = document.querySelector('#panel .log-det svg');
          const cut = +svg.querySelector('g[stroke="var(--erg)"] line').getAttribute('x1');
          const curve = svg.querySelector('g[aria-label=line] path');
          const level = [...svg.querySelectorAll('g[aria-label=rule] line')].find(line => line.hasAttribute('y1'));
          const zero = +level.getAttribute('y1');
          const length = curve.getTotalLength();
          const points = Array.from({length: 4001}, (_, i) => curve.getPointAtLength(length * i / 4000));
          return [zero, cut, points.map(p => [p.x, p.y])];
        }"""
    )
    x, y = np.array(path).T
    assert y[np.abs(x - cut).argmin()] == pytest.approx(zero, abs=1.0)
    assert y.min() < zero - 20


def test_by_keyboard_alone(visit, report, results):
    page = visit(report)
    first = results.summary().look_first[0].title
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused(page) == first:
            break
    assert focused(page, "el => getComputedStyle(el).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[open]")
    assert page.inner_text("#panel-title") == first
    page.keyboard.press("Escape")
    says(page, "a:focus", f"^{re.escape(first)}$")
    # The plane: one stop of Tab, arrows from point to point, Enter opens.
    page.locator("#glance-title").scroll_into_view_if_needed()
    page.locator("#glance svg[role=group] a[tabindex='0']").first.focus()
    before = focused(page, "el => el.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    after = focused(page, "el => el.getAttribute('aria-label')")
    assert before != after
    assert page.locator("#glance svg[role=group]").first.locator("a[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[open]")
    assert page.inner_text("#panel-title") == after.split("\n")[0]
    page.keyboard.press("Escape")
    page.wait_for_selector("#glance a:focus")
    # The table: arrows from name to name.
    page.locator("#grid .tabulator-row a").first.focus()
    page.keyboard.press("ArrowDown")
    says(page, "#grid a:focus", f"^{re.escape(seen_order(page)[1])}$")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[open]")


def test_light_and_dark(visit, report):
    paper = "getComputedStyle(document.body).backgroundColor"
    page = visit(report, color_scheme="dark")
    dark = page.evaluate(paper)
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    page.click("#theme")
    light = page.evaluate(paper)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 26)")
    assert visit(report, color_scheme="light").evaluate(paper) == light


@pytest.mark.parametrize("anchor", ["", "#layer-5"])
def test_narrow(visit, report, anchor):
    page = visit(report, anchor, viewport={"width": 380, "height": 700})
    page.wait_for_timeout(100)
    for _ in range(12):
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(30)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    if anchor:
        assert page.evaluate("document.querySelector('#panel').scrollWidth") <= 380


def test_on_paper(visit, report, results):
    page = visit(report, color_scheme="dark")
    rows = sum(record.status != "skipped" for record in results.records)
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    across = [float(wide) > float(high) for wide, high in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)]
    assert set(across) == {False, True}, "the table alone lies across"
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".tabulator-print-table tbody tr").count() == rows
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("details:not([open]):not(.long)").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".tabulator-print-table").count() == 0


def test_hostile_names_are_text(visit, tmp_path):
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=(60, 40)) for name in HOSTILE}
    path = tmp_path / "report.html"
    ww.examine(tensors, progress=False).report(path)
    page = visit(path)
    shown = [visible(name) for name in HOSTILE]
    assert sorted(texts(page, "#grid .tabulator-row a")) == sorted(shown)
    assert page.locator("script").count() == len(LIBRARIES) + 2
    assert page.locator("img, iframe, object").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in page.locator(".card h3 a").all():
        assert name.text_content() in shown
        name.click()
        page.wait_for_selector("#panel[open] .figures svg")
        assert page.text_content("#panel-title") == name.text_content()
        page.keyboard.press("Escape")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = texts(page, ".tabulator-print-table tbody td:first-child")
    assert sorted(printed) == sorted(shown)
    page.locator("#coverage details summary").click()
    page.wait_for_selector("#coverage td")
    assert set(shown) <= {name.removesuffix(".weight") for name in texts(page, "#coverage td")}


def test_the_policy_allows_the_scripts_of_the_page_and_nothing_else(report):
    text = report.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == digests
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert not re.search(r"sourceMappingURL=|<link[^>]+href=\"(?!data:)|<script[^>]+src=", text)


def test_data_in_a_script_stay_data():
    told = {"</script>": ["<!--", "\u2028", "\ud800", 'a"b\\']}
    text = embedded(told)
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == told


def test_curves_hold_what_is_drawn():
    rng = np.random.default_rng(1)
    W = rng.standard_t(3, size=(900, 700))
    told = curves_of(ww.Spectrum.from_matrix(W))
    x = np.sort(singular_value_squares(W))[::-1]
    log_x = np.log(x / x.mean())
    ranks = np.array(told["ranks"])
    assert ranks.size <= POINTS
    assert (ranks[0], ranks[-1]) == (1, 700)
    assert np.diff(ranks).max() <= 8
    for name, exact in (("log_x", log_x), ("log_det", np.cumsum(log_x))):
        steps = np.frombuffer(base64.b64decode(told[name]["steps"]), "<u2")
        low, high = told[name]["from"], told[name]["to"]
        drawn = low + steps * (high - low) / 65535
        assert np.abs(drawn - exact[ranks - 1]).max() < (high - low) / 65535 + 1e-9
    low, high = told["ends"]
    edges = np.linspace(low, high, len(told["bins"]) + 1)
    assert sum(told["bins"]) == np.count_nonzero(log_x >= low - 1e-4)
    inside = [np.count_nonzero((log_x > a) & (log_x < b)) for a, b in itertools.pairwise(edges)]
    assert np.abs(np.array(inside) - told["bins"]).sum() <= 3


@pytest.mark.parametrize(
    ("values", "is_drawn"),
    [
        ([2.0, 2.0], False),
        ([5.0], False),
        ([0.0, 1.0], False),
        ([0.0, 0.0], False),
        ([1.0, 2.0], True),
        ([1e-9, 1], True),
    ],
)
def test_only_two_distinct_eigenvalues_are_drawn(values, is_drawn):
    told = curves_of(ww.Spectrum.from_eigenvalues(values))
    assert (told is not None) == is_drawn
    if told:
        json.dumps(told, allow_nan=False)


def test_packed_numbers_that_are_all_equal():
    assert packed(np.array([2.0, 2.0])) == {"from": 2.0, "to": 2.0, "steps": "AAAAAA=="}


def test_no_layer_at_all(browser, tmp_path):
    path = tmp_path / "none.html"
    Results.from_records([]).report(path)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(path.as_uri())
    assert page.inner_text("#grid") == "No layer was analysed."
    assert errors == []
    page.close()


def odd_layers() -> ww.Results:
    """Nothing to draw of the first four; WeightWatcher's fit fails for the first three, ours for the first two."""
    noise = np.random.default_rng(0).normal(size=(60, 40))
    weights = {
        "dead": np.zeros((40, 30)),
        "one": np.outer(np.arange(1.0, 41), np.arange(1.0, 31)),
        "small": 1e-4 * noise,
    }
    return ww.examine({**weights, "bad": np.full((40, 30), np.nan), " ": noise}, progress=False)


def test_layers_to_look_at_are_those_that_lack_something():
    results = odd_layers()
    looks = {look.layer: look.why for look in results.summary().look_first}
    assert list(looks) == ["bad", "dead", "one"]
    assert looks["dead"] == "all zero"
    assert looks["one"].startswith("rank collapse")
    rows = {row["longname"]: row for row in results.table().to_dict("records")}
    assert [name for name, row in rows.items() if has_failed(row)] == ["bad"]
    assert rows["small"]["status"] == "failed", "WeightWatcher's own word"
    assert "prune" in next_step(rows["dead"])
    assert "low rank" in next_step(rows["one"])
    assert headline(rows["dead"], Look("dead", "", "all zero")) == "all zero"


def test_what_has_no_picture_says_so(visit, tmp_path):
    odd_layers().report(tmp_path / "odd.html")
    page = visit(tmp_path / "odd.html")
    assert "(no name)" in seen_order(page)
    assert page.locator("#first .card").count() == 3
    assert page.locator("#first .picture").count() == 0
    for name, said in (("dead", "no two distinct positive eigenvalues"), ("bad", "could not be analysed")):
        page.locator(f"#grid a:text-is('{name}')").click()
        page.wait_for_selector("#panel[open]")
        assert said in page.inner_text("#panel")
        assert page.locator("#panel svg.plot, #panel figure").count() == 0
        page.keyboard.press("Escape")


def test_a_layer_says_which_part_it_is_and_what_else_it_may_be(visit, tmp_path):
    weights = {"mlp.experts.gate_up_proj": np.random.default_rng(0).normal(size=(2, 64, 48))}
    results = ww.examine(weights, progress=False)
    results.report(tmp_path / "experts.html")
    page = visit(tmp_path / "experts.html", "#layer-2")
    page.wait_for_selector("#panel[open]")
    (_, row) = results.table().to_dict("records")
    assert row["layout"] == "expert 1 of 2"
    assert "MLP, expert 1 of 2. Size 64 x 48." in page.inner_text("#panel")
    assert row["reason"]
    assert f"Remark: {row['reason']}" in page.inner_text("#panel")


def test_of_failures_alone_there_is_nothing_to_see_at_a_glance(visit, tmp_path):
    ww.examine({"bad": np.full((40, 30), np.nan)}, progress=False).report(tmp_path / "bad.html")
    page = visit(tmp_path / "bad.html")
    assert page.locator("#glance svg").count() == 0
    assert page.inner_text("#glance") == "There is nothing to see: no layer was analysed."


def apart_models() -> dict[str, np.ndarray]:
    """Five heavy tails, alpha from 2.6 to 4.5, none of which is a concern."""
    ranks = (np.arange(300) + 0.5) / 300
    return {f"fc{i}": np.diag((1 - ranks) ** (-0.5 / (alpha - 1))) for i, alpha in enumerate((2.6, 3.5, 4.5, 4.0, 3.0))}


def test_where_nothing_calls_for_a_look_those_at_the_ends_of_the_usual_range_are_shown():
    """Three layers are there to begin with, and the page says that they are no cause for concern."""
    results = ww.examine(apart_models(), progress=False)
    assert results.summary().look_first == results.summary().stand_apart == ()
    looks = page_data(results)["looks"]
    table = results.table()
    inside = np.minimum(table["tail_alpha"] - 2, 6 - table["tail_alpha"]) / table["tail_sigma"]
    assert [one["layer"] for one in looks] == inside.sort_values().index[:3].tolist()
    assert all(not one["calls"] and "Nothing calls for a look" in one["because"][0] for one in looks)


def test_a_layer_without_a_concern_whose_alpha_is_apart_comes_next():
    """Heavy, with waves on the power law: no state, and an alpha below 2 that a reader asks about."""
    rng = np.random.default_rng(3)
    logs = -np.log(1 - (np.arange(600) + 0.5) / 600) / 0.4
    left, right = (np.linalg.qr(rng.normal(size=(side, 600)))[0] for side in (900, 600))
    spiked = left * np.exp((logs + np.sin(2.5 * logs) / 2) / 2) @ right
    results = ww.examine({"spiked": spiked, **apart_models()}, progress=False)
    table = results.table().set_index("longname")
    assert table.loc["spiked", "setol_state"] == "undetermined"
    assert table.loc["spiked", "tail_outcome"] == "poor_fit"
    apart = results.summary().stand_apart
    assert [look.title for look in apart] == ["spiked"]
    assert "no power law" in apart[0].why
    assert "no concern, but apart from the usual alpha of 2 to 6:\n  spiked: undetermined" in str(results.summary())
    first = page_data(results)["looks"][0]
    assert (first["headline"], first["calls"]) == ("undetermined, apart from the rest", False)
    assert "the tail is no power law" in " ".join(first["because"])
    assert sum(f"{table.loc['spiked', 'tail_alpha']:.2f}" in one for one in first["because"]) == 1


def test_a_page_of_weights_from_a_file_has_their_fingerprint(tmp_path):
    np.savez(tmp_path / "net.npz", **apart_models())
    kept = ww.scan(tmp_path / "net.npz", tmp_path / "net.setol") is not None and ww.open_results(tmp_path / "net.setol")
    found = ww.examine(tmp_path / "net.npz", progress=False)
    assert found.fingerprint == kept.fingerprint
    assert ["fingerprint of the weights", found.fingerprint] in page_data(found)["provenance"]
    assert ww.examine(apart_models(), progress=False).fingerprint == ""


def boxes(page: Any, places: str) -> list[dict[str, float]]:
    """Where texts of a picture stand."""
    return [one.bounding_box() for one in page.locator(places).all()]


def apart(one: dict[str, float], other: dict[str, float]) -> bool:
    return (
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
    )


def test_the_name_of_the_ideal_point_is_clear_of_the_axis(visit, tmp_path):
    """All layers above delta = 0, where the point lies at the foot of the plane."""
    results = ww.examine(apart_models(), progress=False)
    results.report(tmp_path / "report.html")
    page = visit(tmp_path / "report.html")
    page.locator("#glance-title").scroll_into_view_if_needed()
    page.wait_for_selector("#glance svg")
    name = page.locator("#glance svg text", has_text="ideal point").bounding_box()
    labels = boxes(page, "#glance figure:first-child svg [aria-label*='tick label'] text")
    assert len(labels) > 4
    assert all(apart(name, label) for label in labels)


def test_every_tick_of_a_strip_has_its_number_and_none_lies_on_another(visit, report):
    page = visit(report)
    page.locator("#glance-title").scroll_into_view_if_needed()
    page.wait_for_selector("#glance svg")
    strips = page.locator("#glance figure:nth-child(2) svg")
    assert strips.count() >= 3
    for strip in strips.all():
        marks = strip.locator("[aria-label='y-axis tick'] path").count()
        texts = [one for one in strip.locator("[aria-label='y-axis tick label'] text").all() if one.text_content()]
        assert marks == len(texts) > 1
        places = [one.bounding_box() for one in texts]
        assert all(apart(one, other) for one, other in itertools.combinations(places, 2))


@pytest.mark.parametrize(
    "state, flags, said, step",
    [
        ("over-regularized", "uneven rows, trap: element", "over-regularized, trap: element", "learning rate"),
        ("short-of-ideal", "trap: element", "trap: element", "remove_traps"),
        ("ideal", "trap: mean shift", "trap: mean shift", "judge alpha with care"),
        ("ideal", "uneven rows", "ideal, no concern", "Leave it as it is"),
    ],
)
def test_what_is_said_of_a_layer_to_look_at(state, flags, said, step):
    row = {"setol_state": state, "setol_flags": flags, "universality_class": "heavy-tailed", "tail_alpha": 3.0}
    look = Look("fc", "", "")
    assert headline(row, look) == said
    assert step in next_step(row)
    told = " ".join(because(row, look))
    assert ww.State(state).meaning in told
    assert "2 is ideal, 2 to 6 is usual" in told
    assert ("Trap: " in told) == ("trap: " in flags)
    row["setol_reason"] = "alpha = 3.00 is of no heavy tail: this is the edge of a random-like bulk."
    assert "without a heavy tail it says little" in " ".join(because(row, look))


def test_the_same_results_give_the_same_page(results, report, tmp_path):
    results.report(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


def test_no_folder_of_the_maker_is_told(report, results):
    text = report.read_text(encoding="utf-8")
    assert str(Path(results.about["path"]).parent) not in text


@pytest.mark.parametrize("name", ["report.pdf", "report", "nowhere/report.html"])
def test_places_that_are_refused(results, tmp_path, name):
    with pytest.raises(ww.InvalidInput, match=re.escape(name)):
        results.report(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_command(results, model, tmp_path, capsys, ending):
    results.save(tmp_path / "net.setol")
    out = tmp_path / f"report{ending}"
    assert main(["report", str(tmp_path / "net.setol"), "--out", str(out)]) == 0
    assert f"The report of {len(results)} rows is in {out}." in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_command_analyses_what_is_given(tmp_path, capsys):
    np.savez(tmp_path / "net.npz", fc=np.random.default_rng(0).normal(size=(60, 40)))
    assert main(["report", str(tmp_path / "net.npz"), "--out", str(tmp_path / "a.html"), "--randomize", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert '"fc"' in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert main(["report", str(tmp_path / "net.npz"), "--out", str(tmp_path / "a.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["out"], told["rows"]) == (str(tmp_path / "a.html"), 1)
    assert main(["report", str(tmp_path / "net.npz"), "--out", str(tmp_path / "a.csv")]) == 2
    assert ".html" in capsys.readouterr().err


def test_libraries_are_those_of_the_manifest():
    manifest = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
    told = {file: digest for entry in manifest for file, digest in entry["files"].items()}
    assert set(told) == {path.name for path in VENDOR.iterdir()} - {"manifest.json"}
    for file, digest in told.items():
        assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == digest, file
    for entry in manifest:
        licences = [file for file in entry["files"] if file.endswith(".LICENSE")]
        assert len(licences) == 1
        words = (VENDOR / licences[0]).read_text(encoding="utf-8")
        begin = {"MIT": "Permission is hereby granted", "ISC": "Permission to use, copy, modify"}
        assert begin[entry["licence"]] in words
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])


def test_libraries_cannot_end_the_script_they_are_in():
    for name in LIBRARIES:
        assert not re.search(r"</script|<!--", (VENDOR / name).read_text(encoding="utf-8"), re.IGNORECASE), name


def test_licences_are_in_the_page(report):
    text = report.read_text(encoding="utf-8")
    assert text.count("Permission") >= 3
    for holder in ("Mike Bostock", "Observable, Inc.", "Oli Folkerd"):
        assert holder in text


@pytest.fixture(scope="module")
def tuned(model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    changed = {name: value + 0.01 * rng.normal(size=value.shape) for name, value in model.items()}
    changed["blocks.0.weight"] = np.outer(rng.pareto(0.4, 160), rng.pareto(0.4, 90)) ** 0.5 * rng.normal(size=(160, 90))
    del changed["heavy.0.weight"]
    return changed


def test_what_changed_is_a_section(visit, model, tuned, tmp_path):
    comparison = ww.compare(model, tuned)
    comparison.report(tmp_path / "changed.html")
    page, summary = visit(tmp_path / "changed.html"), comparison.summary()
    told = page.inner_text("#compared")
    assert f"{len(comparison)} layers held against" in told
    for look in summary.look_first[:5]:
        assert f"{look.title}: {look.why}" in told
    for change in summary.changes:
        assert change.told in told
    page.locator("#compared summary", has_text="not compared").click()
    assert "heavy.0" in page.inner_text("#compared")
    page.locator("#compared summary", has_text="Every change").click()
    page.wait_for_selector("#changes .tabulator-row")
    table = comparison.table()
    row = page.locator("#changes .tabulator-row", has_text="blocks.1")
    moved = float(row.locator("[tabulator-field=d_tail_alpha]").inner_text())
    assert moved == pytest.approx(table.set_index("longname")["d_tail_alpha"]["blocks.1"], rel=1e-3)
    row.locator("a").click()
    says(page, "#panel-title", r"^blocks\.1$")


@pytest.mark.parametrize("kind", ["results", "weights", "file", "comparison"])
def test_what_results_are_held_against(results, tuned, tmp_path, kind):
    """`compare=` takes each of these, and the base is what was given."""
    base = ww.examine(tuned, randomize=True, progress=False)
    base.save(tmp_path / "base.setol")
    other = {"results": base, "weights": tuned, "file": str(tmp_path / "base.setol")}.get(kind)
    results.report(tmp_path / "page.html", compare=ww.compare(base, results) if kind == "comparison" else other)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    told = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])["compared"]
    table = ww.compare(base, results).table()
    place = told["titles"].index("blocks.0")
    assert told["cells"]["d_tail_alpha"][place] == pytest.approx(table["d_tail_alpha"][place], rel=1e-4)
    assert any(row[0] == "heavy.0" for row in told["unmatched"])


def test_the_command_compares(model, tuned, tmp_path, capsys):
    for name, tensors in (("base", model), ("tuned", tuned)):
        np.savez(tmp_path / f"{name}.npz", **tensors)
    out = tmp_path / "changed.html"
    paths = [
        "report",
        str(tmp_path / "tuned.npz"),
        "--out",
        str(out),
        "--compare",
        str(tmp_path / "base.npz"),
        "--quiet",
    ]
    assert main(paths) == 0
    assert capsys.readouterr().out == ""
    told = json.loads(re.search(r'id="data">(.*?)</script>', out.read_text(encoding="utf-8"))[1])["compared"]
    assert told["names"] == ["base.npz", "tuned.npz"]
    assert "update_rank" in told["cells"]


def test_rows_of_one_name_are_compared_on_the_page(tmp_path):
    """Three layers called alike, without a slice: a look among them finds its row."""
    rng = np.random.default_rng(0)
    spectra = [ww.Spectrum.from_eigenvalues(rng.pareto(2, 60) + 0.1, (80, 60)) for _ in range(6)]
    base, tuned = (
        Results.from_records(
            LayerRecord(number, {"longname": "same"}, spectrum=one) for number, one in enumerate(three)
        )
        for three in (spectra[:3], spectra[3:])
    )
    compared = ww.compare(base, tuned)
    assert [look.title for look in compared.summary().look_first] == ["same"]
    compared.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_name_that_is_no_unicode_is_compared_and_advised_on(tmp_path):
    rng = np.random.default_rng(0)
    results = ww.examine({"\ud800x.weight": rng.normal(size=(60, 40))}, progress=False)
    compared, advice = ww.compare(results, results), ww.recommend(results, "sparsity")
    assert compared.table()["longname"].tolist() == advice.table()["longname"].tolist() == ["\ud800x"]
    assert all("\\ud800x" in str(one) and "\\ud800x" in one._repr_html_() for one in (compared, advice))
    compared.report(tmp_path / "report.html")


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        (6.1, ", but its alpha lies outside the usual 2 to 6"),
        (6.0, "; of the others its alpha is among the nearest to an end of the usual 2 to 6"),
        (4.0, "; of the others its alpha is among the nearest to an end of the usual 2 to 6"),
        (math.nan, ""),
    ],
)
def test_why_a_layer_is_shown_that_nothing_calls_for(alpha, said):
    assert _apart({"tail_alpha": alpha, "tail_sigma": 0.5}) == said
