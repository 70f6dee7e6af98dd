"""Runs the clauses through pytest and turns what it reports into a table: Markdown, JSON or HTML."""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from . import protocol, runner
from .chapters import BY_ID

SUITE = Path(__file__).parent / "test_clauses.py"
LIBRARIES = ("numpy", "scipy", "hypothesis", "mpmath", "weightwatcher")
MARKS = {
    "pass": "pass",
    "fail": "**FAIL**",
    "expected failure": "fails as known",
    "unexpected pass": "**passes, listed as failing**",
    "untested": "untested",
}


@dataclass(frozen=True)
class Row:
    """What became of one clause."""

    id: str
    status: str
    examples: int = 0
    worst: float = 0.0
    message: str = ""
    counterexample: str = ""
    reproduce: str = ""


@dataclass(frozen=True)
class Report:
    """One run over one implementation."""

    implementation: str
    implementation_version: str
    profile: str
    seed: str
    versions: dict[str, str]
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    exit_status: int

    def counts(self) -> dict[str, int]:
        """Clauses by status."""
        return {status: sum(row.status == status for row in self.rows) for status in MARKS}


class _Collector:
    """A pytest plugin that keeps the outcome of every clause."""

    def __init__(self, repeat: str) -> None:
        self.rows: dict[str, Row] = {}
        self.others: list[str] = []
        self.repeat = repeat

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = re.search(r"test_clause\[([A-Z]+-\d+)\]", report.nodeid)
        if not found:
            if report.failed:
                name = report.nodeid.rsplit("::", 1)[-1].removeprefix("test_").replace("_", " ")
                self.others.append(f"{name}: {_message(report, report.longreprtext)}")
            return
        if report.when != "call" and not (report.skipped or report.failed):
            return
        id = found.group(1)
        watched = json.loads(str(dict(report.user_properties).get("watch", "{}")))
        text = report.longreprtext if not report.passed else ""
        status = _status(report)
        self.rows[id] = Row(
            id=id,
            status=status,
            examples=watched.get("examples", 0),
            worst=watched.get("worst", 0.0),
            message=_message(report, text),
            counterexample=_counterexample(text),
            reproduce="" if status in ("pass", "untested") else f"setol-ww spec {self.repeat} --only {id}",
        )


def run_spec(implementation: str, profile: str, only: list[str] | None = None, seed: int | None = None) -> Report:
    """Run the suite in this process; environment variables are put back.

    `seed` is that of a profile which draws new examples in every run; one is chosen and reported when left out.
    """
    chosen = protocol.chosen(implementation)
    derandomised = runner.PROFILES[profile][1]
    seed = secrets.randbelow(2**31) if seed is None else seed
    repeat = f"--implementation {implementation} --profile {profile}" + ("" if derandomised else f" --seed {seed}")
    collector = _Collector(repeat)
    arguments = [str(SUITE), "-c", str(SUITE.with_name("suite.ini")), "-p", "no:cacheprovider", "-W", "ignore"]
    if only:
        wanted = [f"(test_clause and {id})" for id in only]
        arguments += ["-k", " or ".join([*wanted, "test_expected_failures", "test_what_is_claimed"])]
    settings = {
        protocol.VARIABLE: implementation,
        runner.VARIABLE: profile,
        runner.SEED_VARIABLE: str(seed),
        "PYTEST_ADDOPTS": "",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main(arguments, plugins=[collector])
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    lost = Row("", "fail", message="the run ended before this clause was judged")
    rows = tuple(collector.rows.get(id, replace(lost, id=id)) for id in only or BY_ID)
    return Report(
        implementation=chosen.name,
        implementation_version=chosen.version,
        profile=profile,
        seed="derandomised" if derandomised else f"seed {seed}",
        versions={library: _version(library) for library in LIBRARIES},
        rows=rows,
        problems=tuple(collector.others),
        exit_status=int(code),
    )


def as_markdown(report: Report) -> str:
    """A page for one implementation."""
    lines = [
        f"# Conformance of {report.implementation} {report.implementation_version}",
        "",
        f"Profile `{report.profile}` ({report.seed}); "
        + ", ".join(f"{library} {number}" for library, number in report.versions.items()),
        "",
        ", ".join(f"{number} {status}" for status, number in report.counts().items() if number),
        "",
        "| clause | statement | result | examples | worst / tolerance | tolerance |",
        "|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        clause = BY_ID[row.id]
        worst = f"{row.worst:.2g}" if row.worst else ""
        lines.append(
            f"| {row.id} | {_cell(clause.statement)} | {MARKS[row.status]} | {row.examples or ''} | {worst} | "
            f"{_cell(clause.tolerance)} |"
        )
    lines += [f"\n**Not a clause, but wrong:** {problem}" for problem in report.problems]
    for row in report.rows:
        if row.message and row.status != "pass":
            lines += ["", f"**{row.id}**, {row.status}: {row.message}"]
            if row.counterexample:
                lines += ["", f"Smallest case: `{row.counterexample}`"]
            if row.reproduce:
                lines += ["", f"    {row.reproduce}"]
    return "\n".join(lines) + "\n"


def as_columns(reports: list[Report]) -> str:
    """A page with one column per implementation: statuses only, so that it is the same on every machine."""
    names = [f"{report.implementation} {report.implementation_version}" for report in reports]
    lines = [
        "# Three implementations, one spec",
        "",
        f"Made by `python scripts/spec_report.py`, profile `{reports[0].profile}` ({reports[0].seed}).",
        "",
        "| clause | statement | source | tier | " + " | ".join(names) + " |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for id, clause in BY_ID.items():
        marks = [MARKS[next(row.status for row in report.rows if row.id == id)] for report in reports]
        tier = clause.tier + (", pending" if clause.pending else "")
        lines.append(f"| {id} | {_cell(clause.statement)} | {clause.source} | {tier} | " + " | ".join(marks) + " |")
    totals = [
        ", ".join(f"{number} {status}" for status, number in report.counts().items() if number) for report in reports
    ]
    lines.append("| | | | all | " + " | ".join(totals) + " |")
    for report in reports:
        known = [row for row in report.rows if row.status == "expected failure"]
        if known:
            lines += ["", f"## Where {report.implementation} fails, as known", ""]
            reasons = protocol.chosen(report.implementation).expected_failures
            lines += [f"- **{row.id}** {BY_ID[row.id].statement} {reasons[row.id]}" for row in known]
    pending = [clause.id for clause in BY_ID.values() if clause.pending]
    lines += ["", f"Pending clauses await the capability in setol_ww: {', '.join(pending)}." if pending else ""]
    return "\n".join(lines) + "\n"


def write(report: Report, path: Path) -> None:
    """By extension: md, json or html."""
    if path.suffix == ".json":
        path.write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    elif path.suffix == ".html":
        path.write_text(_as_html(report), encoding="utf-8")
    elif path.suffix == ".md":
        path.write_text(as_markdown(report), encoding="utf-8")
    else:
        raise ValueError(f"--out {path} was asked; accepted endings are .md, .json, .html")


def _as_html(report: Report) -> str:
    cells = "".join(
        f"<tr class='{row.status.replace(' ', '-')}'><td>{row.id}</td><td>{html.escape(BY_ID[row.id].statement)}</td>"
        f"<td>{row.status}</td><td>{row.examples}</td><td>{row.worst:.2g}</td>"
        f"<td>{html.escape(BY_ID[row.id].tolerance)}</td><td>{html.escape(row.message)} "
        f"<code>{html.escape(row.counterexample)}</code></td></tr>"
        for row in report.rows
    )
    style = (
        "body{font:15px sans-serif;margin:2em;max-width:75em}td,th{padding:.3em .6em;border-bottom:1px solid #ddd;"
        "text-align:left;vertical-align:top}td:first-child{white-space:nowrap}"
        ".pass td:nth-child(3){color:#176b1d}.fail td:nth-child(3),"
        ".unexpected-pass td:nth-child(3){color:#b00020;font-weight:bold}"
        ".expected-failure td:nth-child(3){color:#8a5a00}.untested{color:#777}"
    )
    versions = ", ".join(f"{library} {number}" for library, number in report.versions.items())
    return (
        f"<!doctype html><meta charset='utf-8'><title>{report.implementation}</title><style>{style}</style>"
        f"<h1>Conformance of {html.escape(report.implementation)} {html.escape(report.implementation_version)}</h1>"
        f"<p>Profile {report.profile} ({report.seed}); {versions}</p><p>"
        + ", ".join(f"{number} {status}" for status, number in report.counts().items() if number)
        + "</p>"
        + "".join(f"<p><b>Not a clause, but wrong:</b> {html.escape(problem)}</p>" for problem in report.problems)
        + "<table><tr><th>clause<th>statement<th>result<th>examples<th>worst / tolerance<th>tolerance<th>said</tr>"
        f"{cells}</table>"
    )


def _status(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "expected failure" if report.skipped else "unexpected pass"
    if report.passed:
        return "pass"
    if report.skipped:
        return "untested"
    return "unexpected pass" if "XPASS(strict)" in str(report.longrepr) else "fail"


def _message(report: pytest.TestReport, text: str) -> str:
    if hasattr(report, "wasxfail"):
        return report.wasxfail
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    errors = [line[4:].strip() for line in text.splitlines() if line.startswith("E   ")]
    return next(
        (line for line in errors if line and "case: " not in line and "example: " not in line), text[:200].strip()
    )


def _counterexample(text: str) -> str:
    found = re.search(
        r"(?:Falsifying example|Failing test case): \w+\(\s*(.*?)\s*\)\s*(?:E\s*)?$", text, re.DOTALL | re.MULTILINE
    )
    if not found:
        return ""
    cleaned = re.sub(r"^\s*E\s+", "", found.group(1), flags=re.MULTILINE)
    parts = [part.strip() for part in cleaned.splitlines()]
    return " ".join(part for part in parts if part and part != "E").rstrip(", ")


def _cell(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", "\\|")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def summary(report: Report) -> dict[str, Any]:
    """Statuses by clause, for comparing a committed report with a fresh one."""
    return {row.id: row.status for row in report.rows}
