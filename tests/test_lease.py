from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx import lease
from afx.config import load
from afx.errors import ConfigError
from afx.lease import PROFILES, LeaseProfile


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_keeps_takeover_safe(profile: LeaseProfile) -> None:
    lease.check_profile(profile, 0.5)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(
    drift=st.floats(-lease.CLOCK_DRIFT, lease.CLOCK_DRIFT),
    delay=st.floats(0, 5),
    last_sent=st.floats(0, 100),
)
def test_a_node_has_closed_its_sockets_before_it_is_replaced(
    profile: LeaseProfile, drift: float, delay: float, last_sent: float
) -> None:
    """Whatever the reply's delay: the deadline counts from when it was sent.

    The leader sees the renewal at some time after it was sent, and may act a
    whole leader's lease later; the node's clock runs up to 1 % fast or slow.
    """
    seen_at = last_sent + delay
    node_lasts = (lease.deadline(0.0, profile) + profile.close) * (1 + drift)
    assert last_sent + node_lasts <= seen_at + profile.takeover


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(
    node=st.floats(-lease.CLOCK_DRIFT, lease.CLOCK_DRIFT),
    leader=st.floats(-lease.CLOCK_DRIFT, lease.CLOCK_DRIFT),
)
def test_what_a_node_wrote_last_has_arrived_before_it_is_replaced(
    profile: LeaseProfile, node: float, leader: float
) -> None:
    written = profile.node / (1 + node)
    assert written + profile.in_flight <= profile.takeover / (1 + leader)


def test_a_lock_delay_that_leaves_no_time_for_what_is_under_way_is_refused() -> None:
    hasty = LeaseProfile(node=3, close=0.5, leader=4, lock_delay=0.2, suspect=2)
    with pytest.raises(ValueError, match="in the network"):
        lease.check_profile(hasty, 0.5)


def test_a_leaders_lease_that_is_too_short_is_refused() -> None:
    unsafe = LeaseProfile(node=3, close=0.5, leader=3.5, lock_delay=1, suspect=2)
    with pytest.raises(ValueError, match="leader's lease"):
        lease.check_profile(unsafe, 0.5)


def test_heartbeats_too_rare_for_the_lease_are_refused_at_start(home: object) -> None:
    with pytest.raises(ConfigError, match="heartbeats"):
        load(home=home, heartbeat_seconds=2.0)
