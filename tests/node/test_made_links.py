"""What a session has linked is stored once more when Redis loses its data."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from afx.cluster.links import CopyRoute
from afx.node.commit_loop import CommitLoop
from afx.node.committer import Committed
from afx.node.made_links import MadeLinks
from afx.node.progress import Link
from afx.node.references import Reference


class Bench:
    """Links, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.links = MadeLinks(lambda: self.now)

    def make(self, *messages: int) -> None:
        for it in messages:
            self.links.add(Link(Reference(7, "copy", -5, it).delivery(-6), it + 100))

    def commit(self) -> list[tuple[int, int]]:
        found = [(it.delivery.message, it.copy) for it in self.links.take()]
        self.links.note_committed()
        return found


class Session:
    """A session that has links only."""

    def __init__(self, links: MadeLinks) -> None:
        self.mark_all_dirty = links.mark_all


def test_links_that_were_stored_last_are_stored_again_and_older_ones_are_not() -> None:
    it = Bench()
    it.make(1)
    it.commit()
    it.now = 890.0
    it.make(2, 3)
    it.commit()
    it.now = 910.0
    it.links.mark_all()
    it.make(4)
    wanted = CopyRoute(7, -5, -6), 2
    assert it.links.copies_of({wanted}) == {wanted: 102}
    assert it.commit() == [(2, 102), (3, 103), (4, 104)]
    it.links.mark_all()
    assert it.commit() == [(2, 102), (3, 103), (4, 104)], "it may lose its data again"
    it.now = 1_811.0
    it.links.mark_all()
    assert it.commit() == []


def test_what_could_not_be_stored_is_not_there_twice() -> None:
    it = Bench()
    it.make(1)
    it.links.put_back(it.links.take())
    it.links.mark_all()
    assert it.commit() == [(1, 101)]


def test_memory_of_stored_links_is_bounded_and_given_back() -> None:
    it = Bench()
    for number in range(30):
        it.make(*range(number * 1_000, number * 1_000 + 1_000))
        it.commit()
    it.links.mark_all()
    assert len(it.commit()) == 5_000
    it.now = 901.0
    it.links.forget_old()
    assert it.links._kept is None


def test_links_of_many_commits_in_a_row_are_kept_together() -> None:
    it = Bench()
    for number in range(100):
        it.now = number * 1.0
        it.make(number + 1)
        it.commit()
    assert it.links._kept is not None and len(it.links._kept) == 10
    it.links.mark_all()
    assert [message for message, _ in it.commit()] == list(range(1, 101))


def test_a_loss_is_marked_once_the_commit_under_way_is_answered() -> None:
    """Redis may have applied that commit before it lost its data."""

    async def scenario() -> None:
        bench, answered, memory = Bench(), asyncio.Event(), SimpleNamespace(losses=0)
        bench.make(1)

        async def commit(sessions: Sequence[Any]) -> Committed:
            bench.links.take()
            await answered.wait()
            bench.links.note_committed()
            return Committed()

        session = Session(bench.links)
        loop = CommitLoop(
            cast("Any", SimpleNamespace(commit=commit)),
            cast("Any", memory),
            cast("Any", SimpleNamespace(passed=lambda _: None)),
            flush_seconds=0.0,
            sessions=lambda: [cast("Any", session)],
            fenced=lambda _: None,
        )
        under_way = asyncio.create_task(loop.commit([cast("Any", session)]))
        await asyncio.sleep(0)
        memory.losses = 1
        flush = asyncio.create_task(loop._flush())
        await asyncio.sleep(0)
        answered.set()
        await asyncio.gather(under_way, flush)
        assert [it.delivery.message for it in bench.links.take()] == [1]

    asyncio.run(asyncio.wait_for(scenario(), 60))


ROUTE = CopyRoute(7, -5, -6)


def test_links_are_found_until_they_are_forgotten_and_the_last_one_counts() -> None:
    it = Bench()
    it.make(*range(1, 1_001))
    it.commit()
    it.make(2_000)
    it.links.take()
    it.make(3_000)
    found = {(ROUTE, message): message + 100 for message in (1, 500, 1_000, 2_000, 3_000)}
    others = {(ROUTE, 4_000), (ROUTE._replace(rule=8), 1), (ROUTE._replace(destination=-5), 1)}
    assert it.links.copies_of({*found, *others}) == found
    it.links.note_committed()
    it.links.add(Link(Reference(7, "copy", -5, 500).delivery(-6), 9))
    assert it.links.copies_of({(ROUTE, 500)}) == {(ROUTE, 500): 9}
    it.commit()
    assert it.links.copies_of({(ROUTE, 500), (ROUTE, 2_000)}) == {
        (ROUTE, 500): 9,
        (ROUTE, 2_000): 2_100,
    }
    it.now = 1_000.0
    it.links.forget_old()
    assert not it.links.copies_of({*found, *others})


def test_numbers_of_two_links_are_not_taken_for_one() -> None:
    it = Bench()
    # (rule, source, message, destination, copy): the route's four numbers, one place later.
    it.links.add(Link(Reference(1, "copy", 7, -5).delivery(3), -6))
    it.links.add(Link(Reference(9, "copy", 1, 1).delivery(1), 1))
    it.commit()
    assert not it.links.copies_of({(CopyRoute(7, -5, -6), 3)})
    it.make(3)
    it.commit()
    it.links.add(Link(Reference(1, "copy", 7, -5).delivery(3), -6))
    it.commit()
    assert it.links.copies_of({(ROUTE, 3)}) == {(ROUTE, 3): 103}
