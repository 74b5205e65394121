"""Each rule of the real code that is left out is noticed, with the faults that it is for.

``FOUND`` has the seed of a schedule that notices it. When the code has changed so that
this seed does not any more, others are tried.
"""

from __future__ import annotations

import pytest
from simulation.found import FOUND
from simulation.runner import Runner

_SEEDS = 200


@pytest.mark.parametrize("rule", FOUND)
def test_a_violation_is_found_when_a_rule_is_left_out(runner: Runner, rule: str) -> None:
    seed = FOUND[rule]
    if any(it.violations for it in runner.run(seed, seed + 1, 1, rule)):
        return
    found = [it.seed for it in runner.run(0, _SEEDS, 1, rule) if it.violations]
    assert found, f"no schedule noticed that {rule}"
