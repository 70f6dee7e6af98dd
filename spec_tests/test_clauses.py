"""Every clause of the register against the chosen implementation (`SETOL_SPEC_IMPL`)."""

from __future__ import annotations

import json
import unittest

import pytest

from .chapters import BY_ID, INVARIANTS, fill_checks
from .protocol import Untested, chosen
from .runner import Watch, checks, profile, run

fill_checks()


@pytest.fixture(scope="module")
def implementation():
    return chosen()


@pytest.mark.parametrize("id", BY_ID)
def test_clause(id, implementation, request, record_property):
    clause, watch = BY_ID[id], Watch()
    claimed = bool(clause.needs) and set(clause.needs) <= implementation.required and not clause.pending
    missing = sorted(set(clause.needs) - implementation.answers())
    if missing:
        untested(f"{implementation.name} does not answer {', '.join(missing)}", claimed)
    if id in implementation.expected_failures:
        # Another error than a refuted claim would be a broken adapter, not the failure that is known.
        reason = implementation.expected_failures[id]
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
    try:
        run(id, implementation, watch)
    except (Untested, unittest.SkipTest) as reason:
        untested(str(reason), claimed)
    finally:
        record_property("watch", json.dumps({"examples": watch.examples, "worst": watch.worst}))


def untested(said: str, claimed: bool) -> None:
    """A skip that is reported, or a failure where the implementation claims to answer."""
    if claimed:
        pytest.fail(f"untested: {said}, although the implementation claims to answer it")
    pytest.skip(f"untested: {said}")


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
