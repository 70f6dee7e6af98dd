"""Every planted bug is killed by the clause it names, in the ci profile."""

from __future__ import annotations

import pytest

from .bug import planted
from .chapters import BY_ID, fill_checks, planted_bugs
from .protocol import chosen
from .runner import Watch, run

fill_checks()
BUGS = planted_bugs()

#: What a clause raises when it notices. A bug that merely crashes would prove nothing of the clause.
KILLS = AssertionError


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_is_killed(bug):
    with pytest.raises(KILLS):
        run(bug.killer, planted(bug), Watch(), profile_name="ci")


@pytest.mark.parametrize("killer", sorted({(bug.killer, bug.base) for bug in BUGS}))
def test_killers_pass_without_a_bug(killer):
    id, base = killer
    run(id, chosen(base), Watch(), profile_name="dev")


def test_enough_bugs_and_every_claimed_method_is_bitten():
    assert len(BUGS) >= 25
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.killer for bug in BUGS} <= set(BY_ID)
    assert chosen("setol_ww").required <= {bug.method for bug in BUGS}
