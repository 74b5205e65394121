"""A loop asks Linux to be run soon after it is woken."""

from __future__ import annotations

import os
import threading

import pytest

from afx.short_slices import ask_for_short_slices


def in_a_thread(function: object) -> list[object]:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found


def test_a_thread_keeps_its_policy_and_its_niceness() -> None:
    def ask() -> tuple[int, int]:
        ask_for_short_slices(os.getpriority(os.PRIO_PROCESS, 0))
        return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)

    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    assert in_a_thread(ask) == [before]


def test_a_machine_without_the_call_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    assert not ask_for_short_slices(0)
