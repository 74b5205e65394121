"""Runs schedules, one line of JSON for each: see ``runner.py``, which starts this.

python -m simulation FIRST END STEP [RULE]   # with PYTHONHASHSEED=0
python -m simulation --replay SEED [RULE]    # with its faults and its trace
"""

from __future__ import annotations

import json
import sys
import warnings

from simulation import faults, schedule
from simulation.rules import BROKEN
from simulation.schedule import Result
from simulation.shrink import shrunk


def _run(seed: int, rule: str, *, traced: bool = False) -> Result:
    if not rule:
        return schedule.run(seed, traced=traced)
    broken = BROKEN[rule]
    return schedule.run(
        seed, broken.plan(seed), prepare=broken.prepare, recover=broken.recover, traced=traced
    )


def _replay(seed: int, rule: str) -> None:
    result = _run(seed, rule, traced=True)
    print("\n".join(result.lines))
    if result.violations:
        broken = BROKEN.get(rule)
        plan = broken.plan(seed) if broken else faults.plan(seed)
        few = shrunk(seed, plan, broken)
        print("These faults suffice:", *few, sep="\n  ")
    print("Violations:", *(result.violations or ["none"]), sep="\n  ")


def main() -> None:
    """Run what the arguments ask for."""
    # A process that was killed leaves coroutines that nothing awaits any more.
    warnings.simplefilter("ignore")
    first, *rest = sys.argv[1:]
    if first == "--replay":
        _replay(int(rest[0]), *rest[1:] or [""])
        return
    rule = rest[2] if len(rest) > 2 else ""
    for seed in range(int(first), int(rest[0]), int(rest[1])):
        result = _run(seed, rule)
        print(json.dumps([seed, result.opened, result.recovered, result.violations]), flush=True)
        if rule and result.violations:
            return


main()
