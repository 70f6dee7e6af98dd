"""Bugs planted for the chapter's clauses to notice: none, since no implementation is asked."""

from __future__ import annotations

from spec_tests.bug import Bug

BUGS: tuple[Bug, ...] = ()
