"""Which sessions hibernate and when they wake: the rules, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.config import Settings
from afx.coordinator.decisions.hibernation import (
    AWAKE_SECONDS,
    SPREAD,
    AwakeSession,
    Quiet,
    Times,
    chosen,
    needed_bytes,
    next_state,
    sleep_seconds,
    unused_seconds,
)
from models.states import HIBERNATION_REASONS

MIB = 1 << 20
seconds = st.floats(1.0, 1e7)
times = st.builds(
    Times, poll=seconds, longest=seconds, fresh=seconds, unused=seconds, quiet=seconds
)
days = st.none() | st.integers(1, 366)
reasons = st.sampled_from(HIBERNATION_REASONS)
awake = st.builds(
    AwakeSession,
    session=st.just(1),
    reason=reasons,
    runs=st.booleans(),
    has_caught_up=st.booleans(),
    has_tasks=st.booleans(),
    has_forwarded=st.booleans(),
    running_seconds=st.floats(0, 2 * AWAKE_SECONDS),
)
quiet = st.lists(
    st.builds(
        Quiet,
        st.integers(1, 1000),
        st.booleans(),
        st.floats(0, 1e6),
        st.integers(1, 10 * MIB),
    ),
    unique_by=lambda it: it.session,
    max_size=30,
)


@given(reasons, times, st.floats(0, 1), days)
def test_no_session_sleeps_longer_than_its_bound(
    reason: str, given: Times, chance: float, login_days: int | None
) -> None:
    slept = sleep_seconds(reason, given, chance, login_days)
    assert 0 < slept <= min(given.longest, unused_seconds(login_days))
    if reason != "no_rule":
        assert slept <= given.poll


@pytest.mark.parametrize(
    ("login_days", "unused"), [(None, 0.5), (1, 0.5), (2, 1), (7, 5), (183, 181)]
)
def test_a_login_is_used_well_before_telegram_ends_it(
    login_days: int | None, unused: float
) -> None:
    assert unused_seconds(login_days) == unused * 86_400


@given(reasons, times)
def test_sessions_that_fell_asleep_at_once_do_not_wake_at_once(reason: str, given: Times) -> None:
    latest, soonest = (sleep_seconds(reason, given, it, 7) for it in (0.0, 1.0))
    assert latest - soonest >= latest * SPREAD * 0.99


@given(awake)
def test_a_session_sleeps_only_when_it_runs_and_has_nothing_to_do(session: AwakeSession) -> None:
    state = next_state(session)
    if state != "wait":
        assert session.runs and not session.has_tasks
    if state == "sleep":
        assert session.has_caught_up or session.running_seconds >= AWAKE_SECONDS
    if state == "stay":
        assert session.reason == "quiet" and session.has_forwarded


@given(awake)
def test_a_session_that_runs_long_and_has_no_task_does_not_wait_for_ever(
    session: AwakeSession,
) -> None:
    if session.runs and not session.has_tasks and session.running_seconds >= AWAKE_SECONDS:
        assert next_state(session) != "wait"


@given(quiet, st.integers(-MIB, 100 * MIB), st.floats(0, 1e6), st.integers(0, 40))
def test_the_fewest_quiet_sessions_hibernate_free_users_first(
    sessions: list[Quiet], needed: int, bound: float, most: int
) -> None:
    found = chosen(sessions, needed, bound, most)
    by_id = {it.session: it for it in sessions}
    taken = [by_id[it] for it in found]
    assert len(found) == len(set(found)) <= most
    assert all(it.idle_seconds >= bound for it in taken)
    assert sum(it.bytes for it in taken[:-1]) < needed or not taken
    if any(it.premium for it in taken):
        free = {it.session for it in sessions if not it.premium and it.idle_seconds >= bound}
        assert free <= set(found)
    for tier in (False, True):
        idle = [it.idle_seconds for it in taken if it.premium is tier]
        assert idle == sorted(idle, reverse=True)
    if sum(it.bytes for it in taken) < needed:
        rest = [it for it in sessions if it.session not in found and it.idle_seconds >= bound]
        assert not rest or len(found) == most


def test_a_node_gives_nothing_back_before_its_headroom_is_touched() -> None:
    assert needed_bytes(0, 1000) == needed_bytes(500, 1000) == 0
    assert needed_bytes(-10, 1000) == 60


def test_the_settings_are_in_seconds() -> None:
    found = Times.from_settings(Settings())
    assert (found.poll, found.longest, found.fresh) == (900, 5 * 86_400, 86_400)
    assert (found.unused, found.quiet) == (3600, 0)
