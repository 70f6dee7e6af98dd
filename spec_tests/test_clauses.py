"""Every clause of the register against the chosen implementation (`SETOL_SPEC_IMPL`)."""

from __future__ import annotations

import json

import pytest

from . import clauses  # noqa: F401 fills the checks
from .protocol import Untested, chosen
from .register import BY_ID, INVARIANTS
from .runner import Watch, checks, profile, run


@pytest.fixture(scope="module")
def implementation():
    return chosen()


@pytest.mark.parametrize("id", BY_ID)
def test_clause(id, implementation, request, record_property):
    clause, watch = BY_ID[id], Watch()
    missing = sorted(set(clause.needs) - implementation.answers())
    if missing:
        said = f"untested: {implementation.name} does not answer {', '.join(missing)}"
        if set(clause.needs) <= implementation.required and not clause.pending:
            pytest.fail(f"{said}, which it claims to")
        pytest.skip(said)
    if id in implementation.expected_failures:
        request.node.add_marker(pytest.mark.xfail(reason=implementation.expected_failures[id], strict=True))
    try:
        run(id, implementation, watch)
    except Untested as reason:
        pytest.skip(f"untested: {reason}")
    finally:
        record_property("watch", json.dumps({"examples": watch.examples, "worst": watch.worst}))


def test_every_clause_has_a_check_and_every_check_a_clause():
    assert set(checks.by_id) == set(BY_ID)


def test_every_invariant_of_the_theory_is_a_clause():
    sources = " ".join(clause.source.replace(";", ",") for clause in BY_ID.values())
    named = {word.strip(",") for word in sources.split()}
    assert set(INVARIANTS) <= named


def test_statistical_clauses_state_their_error_rate():
    for clause in BY_ID.values():
        assert (clause.tier == "statistical") == bool(clause.error_rate), clause.id
        assert clause.tier in ("exact", "statistical")
        assert clause.statement.endswith(".")


def test_expected_failures_name_clauses_and_reasons(implementation):
    unknown = set(implementation.expected_failures) - set(BY_ID)
    assert not unknown, f"expected failures that are no clauses: {sorted(unknown)}"
    assert all(len(reason) > 10 for reason in implementation.expected_failures.values())


def test_what_is_claimed_is_answered(implementation):
    assert implementation.required <= implementation.answers()


def test_profile_is_known():
    assert profile() in ("dev", "ci", "deep")
