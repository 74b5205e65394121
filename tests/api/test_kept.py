"""Figures that are kept for a moment."""

from __future__ import annotations

import threading

from afx.api.kept import Kept


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


def test_a_change_makes_every_figure_again() -> None:
    kept = Kept()
    assert kept.get("x", lambda: 1) == 1
    kept.forget()
    assert kept.get("x", lambda: 2) == 2


def test_a_figure_that_was_begun_before_a_change_is_not_kept() -> None:
    kept = Kept()

    def make() -> int:
        kept.forget()
        return 1

    assert kept.get("x", make) == 1
    assert kept.get("x", lambda: 2) == 2
