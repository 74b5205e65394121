"""Runs schedules for the tests: see ``runner.py``, which starts this.

python -m simulation --serve                 # with PYTHONHASHSEED=0; a line per request
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
    result = schedule.run(
        seed, broken.plan(seed), prepare=broken.prepare, recover=broken.recover, traced=traced
    )
    # What is left out must not just break the code: an account would not be live twice.
    assert broken.crashes or not any("Traceback" in it for it in result.violations), result
    return result


def _replay(seed: int, rule: str) -> None:
    result = _run(seed, rule, traced=True)
    print("\n".join(result.lines))
    if result.violations:
        broken = BROKEN.get(rule)
        plan = broken.plan(seed) if broken else faults.plan(seed)
        few = shrunk(seed, plan, broken)
        print("These faults suffice:", *few, sep="\n  ")
    print("Violations:", *(result.violations or ["none"]), sep="\n  ")


def _serve() -> None:
    """Answer each line with the outcomes of the schedules that it asks for."""
    for line in sys.stdin:
        first, end, step, rule = json.loads(line)
        outcomes = []
        for seed in range(first, end, step):
            try:
                result = _run(seed, rule)
            except Exception as error:
                error.add_note(f"It is schedule {seed}.")
                raise
            outcomes.append([seed, result.opened, result.recovered, result.violations])
            if rule and result.violations:
                break
        print(json.dumps(outcomes), flush=True)


def main() -> None:
    """Run what the arguments ask for."""
    # A process that was killed leaves coroutines that nothing awaits any more.
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--replay":
        _replay(int(sys.argv[2]), *sys.argv[3:] or [""])
    else:
        _serve()


main()
