"""Mischief of Telegram by chance, while nodes die and sessions move; the ledger judges.

A seed decides the mischief and the upsets. Edits and deletions are in the stream; they
concern messages from before the promise, since the ledger knows copies by their texts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from support.labs import NewLab, assert_clean
from support.mischief import shares

from afx.app import context_for
from afx.lab.accounts import LabSession, alternate_modes
from afx.lab.cluster import LabCluster
from afx.operations import sessions as operations
from models.storage import rules
from models.storage.rules import NewRule

_OLD = 4
"""Messages of each source from before the promise."""


@dataclass(slots=True, frozen=True)
class Size:
    """How large a run is."""

    accounts: int
    rules: int
    messages: int
    rate: float
    upsets: int


SMALL = Size(accounts=6, rules=18, messages=900, rate=150, upsets=4)
LARGE = Size(accounts=50, rules=200, messages=20_000, rate=300, upsets=12)


def add_routes(lab: LabCluster, size: Size, rng: random.Random) -> list[LabSession]:
    """Add sessions with several rules each; returns a route for each rule."""
    routes = lab.add_sessions(size.accounts, mode=alternate_modes)
    routes = list(routes)
    more = [rng.choice(routes) for _ in range(size.rules - size.accounts)]
    made = lab.sandbox.call(
        "channels",
        channels=[
            channel
            for it in more
            for channel in (
                {"title": "source", "members": [it.account]},
                {"title": "copies", "posters": [it.account]},
            )
        ],
    )
    for number, it in enumerate(more):
        source, to = made[2 * number]["id"], made[2 * number + 1]["id"]
        name, mode = f"more-{number}", alternate_modes(number)
        rules.create_many([NewRule(it.id, name, [str(source)], [str(to)], mode)])
        routes.append(LabSession(it.id, it.name, it.account, source, to))
    return routes


def upset(lab: LabCluster, routes: list[LabSession], rng: random.Random, number: int) -> None:
    """Cause one upset."""
    chosen = rng.choice(routes)
    kind = ("kill", "move", "edit", "delete", "drop", "flood")[number % 6]
    if kind == "kill":
        lab.kill_node(lab.busiest_node())
        lab.processes.start_nodes(1, first=10 + number)
    elif kind == "move":
        operations.move(context_for(lab.settings, "fuzz"), chosen.name)
    elif kind == "drop":
        lab.sandbox.call("drop")
    elif kind == "flood":
        lab.sandbox.call("flood", seconds=2.0, account=chosen.account)
    for it in routes:
        if kind == "delete":
            lab.sandbox.call("delete", chat=it.source, messages=[rng.randint(1, _OLD // 2)])
        elif rng.random() < 0.5:
            message = rng.randint(_OLD // 2 + 1, _OLD)  # one that is not deleted
            lab.sandbox.call("edit", chat=it.source, message=message, text=f"edited {number}")


def fuzz(lab: LabCluster, seed: int, size: Size, *, lost_answers: bool) -> None:
    """Run one seed."""
    rng = random.Random(seed)
    lab.processes.start_coordinator()
    lab.processes.start_nodes(3)
    lab.wait_nodes(3)
    routes = add_routes(lab, size, rng)
    for it in routes:
        for number in range(_OLD):
            lab.sandbox.call("post", chat=it.source, text=f"old {number}")
    lab.wait_running()
    lab.expect_copies(routes)
    lab.sandbox.call("mischief", seed=seed, **shares(rng, lost_answers=lost_answers))
    lab.post(size.messages, size.rate, routes)
    for number in range(size.upsets):
        share = (number + 1) / (size.upsets + 1)
        lab.wait("more is posted", lambda share=share: lab.posted() >= share * size.messages, 300)
        upset(lab, routes, rng, number)
    verdict = lab.wait_delivered(120)
    assert_clean(verdict)
    assert verdict.delivered == verdict.expected == size.messages


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_doubled_or_out_of_order_under_mischief(new_lab: NewLab, seed: int) -> None:
    fuzz(new_lab({"AFX_POLL_SECONDS": "2"}), seed, SMALL, lost_answers=False)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_under_mischief_on_fifty_accounts(new_lab: NewLab, seed: int) -> None:
    fuzz(new_lab({"AFX_POLL_SECONDS": "2"}), seed, LARGE, lost_answers=True)
