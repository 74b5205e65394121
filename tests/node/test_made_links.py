"""What a session has linked is stored once more when Redis loses its data."""

from __future__ import annotations

from afx.node.made_links import MadeLinks
from afx.node.outbox import Reference
from afx.node.progress import Link


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


def test_links_that_were_stored_last_are_stored_again_and_older_ones_are_not() -> None:
    it = Bench()
    it.make(1)
    it.commit()
    it.now = 30.0
    it.make(2, 3)
    it.commit()
    it.now = 70.0
    it.links.mark_all()
    it.make(4)
    [first, *_] = made = it.links.by_message()
    assert (first[0], first[1], made[first]) == ((7, -5, -6), 2, 102)
    assert it.commit() == [(2, 102), (3, 103), (4, 104)]
    it.links.mark_all()
    assert it.commit() == [(2, 102), (3, 103), (4, 104)], "it may lose its data again"
    it.now = 131.0
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
    it.now = 61.0
    it.links.forget_old()
    assert it.links._kept is None
