"""Random schedules of a whole cluster of the real code: no session is ever live twice.

``AFX_SCHEDULES`` sets how many (everyday 200, nightly 10,000). ``AFX_SEED`` runs one of
them with its trace; ``AFX_RULE`` names a rule of ``broken.py`` that is left out meanwhile.
"""

from __future__ import annotations

import os

import pytest
from simulation.runner import Runner, replay

SCHEDULES = int(os.environ.get("AFX_SCHEDULES", "200"))
SEED = os.environ.get("AFX_SEED", "")
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_no_session_is_live_twice_and_every_one_runs_when_the_faults_have_ended(
    runner: Runner, part: int
) -> None:
    outcomes = runner.run(part, SCHEDULES, PARTS)
    assert len(outcomes) == len(range(part, SCHEDULES, PARTS))
    violations = {it.seed: it.violations for it in outcomes if it.violations}
    assert not violations, f"replay one with AFX_SEED=SEED: {violations}"
    # The schedules are of use only if something happens in them.
    assert sum(it.opened for it in outcomes) > 6 * len(outcomes)
    assert any(it.recovered > 1 for it in outcomes)


def test_a_schedule_is_the_same_each_time() -> None:
    assert replay(17) == replay(17)


@pytest.mark.skipif(not SEED, reason="runs one schedule with its trace: AFX_SEED=17")
def test_replay_of_one_schedule() -> None:
    trace = replay(int(SEED), os.environ.get("AFX_RULE", ""))
    print(trace)
    assert trace.endswith("Violations:\n  none\n")
