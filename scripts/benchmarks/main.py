"""scripts/bench: runs a benchmark by name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import api
import clicks
import cores
import density
import drain
import failover
import files
import fleet
import forward
import forward_rules
import hibernate
import leadership
import links
import memory
import placement
import pool
import recycle
import sandbox
import scaling
import storage
import tasks

BENCHMARKS = {
    it.NAME: it
    for it in (
        forward,
        forward_rules,
        density,
        cores,
        failover,
        files,
        fleet,
        drain,
        recycle,
        hibernate,
        placement,
        pool,
        leadership,
        links,
        memory,
        sandbox,
        scaling,
        storage,
        tasks,
        api,
        clicks,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name all benchmarks")
    chosen = parser.add_subparsers(dest="name", metavar="NAME")
    for name, module in BENCHMARKS.items():
        sub = chosen.add_parser(name, help=module.__doc__, description=module.__doc__)
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        module.add_flags(sub)
    arguments = parser.parse_args()
    if arguments.list:
        for name, module in BENCHMARKS.items():
            print(f"{name:<10} {(module.__doc__ or '').splitlines()[0]}")
        return
    if not arguments.name:
        parser.error("name a benchmark; --list shows them all")
    BENCHMARKS[arguments.name].run(arguments)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
