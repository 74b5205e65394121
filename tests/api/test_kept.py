"""Figures that are kept for a moment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from afx.api.generations import SharedGeneration, size_of
from afx.api.kept import Kept


def test_what_need_not_be_new_is_kept_though_something_was_changed() -> None:
    now, made = [0.0], []
    kept = Kept(lambda: now[0])

    def get() -> int:
        return kept.get("x", lambda: made.append(1) or len(made), least=10.0, until_changed=False)

    assert get() == 1
    kept.forget()
    now[0] = 9.9
    assert get() == 1
    now[0] = 10.1
    assert get() == 2


def test_a_figure_is_made_again_after_a_time_that_depends_on_its_cost() -> None:
    now = [0.0]
    kept = Kept(lambda: now[0])
    made: list[int] = []

    def make() -> int:
        made.append(1)
        now[0] += 1.0
        return len(made)

    assert [kept.get("x", make), kept.get("x", make)] == [1, 1]
    now[0] += 24
    assert kept.get("x", make) == 1
    now[0] += 2
    assert (kept.get("x", make), kept.get("y", lambda: 7)) == (2, 7)


def test_many_threads_make_a_figure_once() -> None:
    kept = Kept()
    made: list[int] = []
    threads = [
        threading.Thread(target=kept.get, args=("x", lambda: made.append(1))) for _ in range(8)
    ]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    assert made == [1]


class Maker:
    """A thread that makes a figure again, for as long as it is let."""

    def __init__(self, kept: Kept) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=kept.get, args=("x", self._make))
        self._thread.start()
        assert self._begun.wait(60)

    def _make(self) -> int:
        self._begun.set()
        assert self._go_on.wait(60)
        return 2

    def end(self) -> None:
        self._go_on.set()
        self._thread.join(60)


def test_nobody_waits_for_a_figure_that_is_made_again() -> None:
    now = [0.0]
    kept = Kept(lambda: now[0])
    assert kept.get("x", lambda: 1) == 1
    now[0] = 0.7
    maker = Maker(kept)
    assert kept.get("x", lambda: 3) == 1
    maker.end()
    assert kept.get("x", lambda: 3) == 2


@pytest.mark.parametrize("why", ["too old", "changed"])
def test_a_figure_that_is_too_old_or_was_changed_is_waited_for(why: str) -> None:
    now = [0.0]
    kept = Kept(lambda: now[0])
    assert kept.get("x", lambda: 1) == 1
    now[0] = 0.7
    maker = Maker(kept)
    if why == "too old":
        now[0] = 1.1
    else:
        kept.forget()
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(kept.get("x", lambda: 4)))
    waiting.start()
    waiting.join(0.05)
    assert not found
    maker.end()
    waiting.join(60)
    assert found == [2 if why == "too old" else 4]


def test_a_change_makes_every_figure_again() -> None:
    kept = Kept()
    assert kept.get("x", lambda: 1) == 1
    kept.forget()
    assert kept.get("x", lambda: 2) == 2


def test_a_change_in_one_process_makes_the_figures_of_all_again(tmp_path: Path) -> None:
    with (tmp_path / "shared").open("w+b") as shared:
        shared.truncate(size_of(3))
        first, second = (Kept(generation=SharedGeneration(shared.fileno(), it, 3)) for it in (0, 2))
        # One that is started again in the place of another counts on.
        for it in (first, second, Kept(generation=SharedGeneration(shared.fileno(), 0, 3))):
            assert {kept.get("x", lambda: 1) for kept in (first, second)} == {1}
            it.forget()
            assert [kept.get("x", lambda: 2) for kept in (first, second)] == [2, 2]
            it.forget()


def test_many_names_take_bounded_room() -> None:
    kept = Kept()
    for number in range(3_000):
        kept.get(str(number), lambda: 1)
    assert len(kept._values) <= 1_001 and len(kept._locks) <= 1_001


def test_a_figure_that_was_begun_before_a_change_is_not_kept() -> None:
    kept = Kept()

    def make() -> int:
        kept.forget()
        return 1

    assert kept.get("x", make) == 1
    assert kept.get("x", lambda: 2) == 2
