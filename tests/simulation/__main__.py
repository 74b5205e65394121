"""Runs schedules: ``PYTHONHASHSEED=0 python -m simulation FIRST END STEP``, or one with its trace."""

from __future__ import annotations

import sys
import time

from simulation import faults, schedule


def main() -> None:
    if len(sys.argv) == 2:
        seed = int(sys.argv[1])
        result = schedule.run(seed, traced=True)
        print("\n".join(str(it) for it in faults.plan(seed)))
        print("\n".join(result.lines))
        print(result.violations, result.recovered)
        return
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        began = time.process_time()
        result = schedule.run(seed)
        took = time.process_time() - began
        print(seed, f"{took:.2f}", result.opened, f"{result.recovered:.1f}", [it[-300:] for it in result.violations[:2]], flush=True)


main()
