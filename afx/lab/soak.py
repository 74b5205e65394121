"""Random faults befall a cluster for minutes or hours while messages flow.

Run by ``scripts/soak``. The sandbox's ledger judges the messages, and the
coordinator's events show whether it took a live node for dead.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from afx.cluster import keys
from afx.lab.cluster import LabCluster, temporary_settings
from afx.lab.fault_plan import LONGEST, Kind, plan
from afx.lab.report import figures
from afx.lab.soak_run import SoakRun

_VARIABLES = {"AFX_BRAKE_HOLD_SECONDS": "5"}


def run(flags: argparse.Namespace) -> dict[str, Any]:
    """Run one soak; returns its figures."""
    seconds = flags.minutes * 60
    kinds: Sequence[Kind] = () if flags.calm else tuple(LONGEST)
    faults = plan(flags.seed, seconds - 5, every=flags.every, kinds=kinds)
    home = Path(tempfile.mkdtemp(prefix="afx-soak-"))
    burners = [_burn() for _ in range(flags.burn)]
    try:
        with LabCluster(temporary_settings(home), variables=_VARIABLES) as lab:
            soak = SoakRun(
                lab,
                nodes=flags.workers,
                sessions=flags.sessions,
                show=lambda text: print(text, file=sys.stderr, flush=True),
            )
            verdict = soak.play(faults, seconds, flags.rate)
            generation = int(lab.redis.get(keys.GENERATION) or 0)
    finally:
        for it in burners:
            it.kill()
            it.wait()
    control_plane = soak.control_plane.figures()
    if soak.false_deaths or not verdict.is_clean:
        print(f"kept: {home}", file=sys.stderr)
    else:
        shutil.rmtree(home, ignore_errors=True)
    return {
        "seed": flags.seed,
        "minutes": flags.minutes,
        "clean": verdict.is_clean,
        **figures(verdict),
        "faults": sum(soak.faults.values()),
        "by_kind": dict(sorted(soak.faults.items())),
        "node_deaths": soak.deaths,
        "false_deaths": soak.false_deaths,
        "ended_by_themselves": soak.unexpected_ends,
        "leaders": generation,
        "control_plane": {
            **asdict(control_plane),
            "is_within_bound": control_plane.is_within_bound,
        },
    }


def _burn() -> subprocess.Popen[bytes]:
    """Keep one CPU busy until killed."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Random faults befall a cluster while messages flow; nothing may be lost, "
        "doubled, out of order or revoked. The same seed gives the same faults.",
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4, help="worker nodes")
    parser.add_argument("--sessions", type=int, default=60, help="Telegram accounts")
    parser.add_argument("--rate", type=float, default=60.0, help="posts a second")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between faults, about")
    parser.add_argument("--burn", type=int, default=0, help="processes that burn CPU meanwhile")
    parser.add_argument(
        "--calm", action="store_true", help="no faults: every node that is found dead is a mistake"
    )
    parser.add_argument("--plan", action="store_true", help="only print the faults")
    return parser


def main() -> None:
    """Read the flags, run the soak, and print its figures as JSON."""
    flags = _parser().parse_args()
    if flags.plan:
        for it in plan(flags.seed, flags.minutes * 60 - 5, every=flags.every):
            print(f"{it.at:8.1f} s  {it.kind:<16} {it.seconds:5.1f} s  {it.pick:.3f}")
        return
    outcome = run(flags)
    print(json.dumps(outcome, indent=1))
    is_bounded = outcome["control_plane"]["is_within_bound"]
    if not outcome["clean"] or outcome["false_deaths"] or not is_bounded:
        sys.exit(1)


if __name__ == "__main__":
    main()
