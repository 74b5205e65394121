"""Runs the nine tests one after the other; one that breaks off has failed, the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import redis

from afx.errors import AfxError
from afx.verify import nodes, outside, work
from afx.verify.result import TITLES, Check, Findings, Result, Target

CHECKS: tuple[Check, ...] = (
    nodes.registration,
    nodes.assignment,
    work.overflow,
    nodes.efficiency,
    nodes.cleanup,
    work.task_execution,
    outside.dashboard,
    work.recovery,
    outside.security,
)


def run(target: Target, checks: Sequence[Check] = CHECKS) -> Iterator[Result]:
    """Yield the result of each test as soon as it has one."""
    for number, check in enumerate(checks, 1):
        begun = time.monotonic()
        found = Findings()
        try:
            target.context.servers.open_database(create=False)
            with target.context.servers.translating():
                check(target, found)
        except (AfxError, redis.RedisError, OSError) as error:
            found.problems.append(str(error).rstrip("."))
        except Exception as error:
            # The others still say what they find.
            found.problems.append(f"unforeseen: {type(error).__name__}: {error}")
        yield Result(
            number=number,
            title=TITLES[number - 1],
            outcome=found.outcome,
            measured=tuple(found.measured),
            figures=found.figures,
            problems=tuple(found.problems),
            not_done=tuple(found.not_done),
            missing=tuple(found.missing),
            seconds=round(time.monotonic() - begun, 2),
        )
