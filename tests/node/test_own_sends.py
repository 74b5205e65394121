"""Of which lanes with senders a session may have sent itself, over its runs."""

from __future__ import annotations

import pytest

from afx.cluster.pools import PoolLane
from afx.coordinator.checkpoints import _FIELD
from afx.node.own_sends import OwnSends
from afx.telegram.session import MalformedPositionError

ONE, TWO = PoolLane(7, -1_001_000_000_002), PoolLane(8, -1_001_000_000_003)
RUN = {"account": "1:2:3"}


def stored(own: OwnSends, before: dict[str, str] | None = None) -> dict[str, str]:
    fields = own.take_fields()
    found = {**(before or {}), **dict(zip(fields[::2], fields[1::2], strict=True))}
    found = {it: text for it, text in found.items() if text}
    assert all(_FIELD.fullmatch(f"{it}={text}") for it, text in found.items())
    return found


def run(fields: dict[str, str], *lanes: PoolLane) -> OwnSends:
    own = OwnSends()
    own.load(dict(fields))
    own.use(lanes, set())
    return own


def test_a_lane_that_has_got_senders_since_the_last_run_is_inherited_until_all_is_settled() -> None:
    first = run({}, ONE)
    assert not first.inherited, "nothing was sent before the first run"
    kept = stored(first)
    second = run({**RUN, **kept}, ONE, TWO)
    assert second.inherited == second.open == {TWO}
    assert stored(second, kept) == kept, "it may end now, too"
    second.use([ONE, TWO], set())
    second.end(iter([TWO]))
    third = run({**RUN, **stored(second, kept)}, ONE, TWO)
    assert not third.inherited and not third.take_fields()


def test_what_is_under_way_as_a_lane_gets_senders_may_be_of_the_session_in_its_next_run() -> None:
    own = run(RUN)
    own.end_earlier()
    own.use([ONE, TWO], {ONE})
    assert (own.inherited, own.open) == (frozenset(), {ONE})
    assert run({**RUN, **stored(own)}, ONE, TWO).inherited == {ONE}
    own.put_back()
    own.end([ONE])
    assert run({**RUN, **stored(own)}, ONE, TWO).inherited == set()
    own.mark_all()
    assert len(stored(own)) == 2


def test_a_lane_that_has_lost_its_senders_is_forgotten() -> None:
    own = run({**RUN, **stored(run({}, ONE, TWO))}, ONE)
    assert own.take_fields() == [f"pool:8:{TWO.destination}", ""]


def test_what_an_earlier_run_may_have_sent_is_of_the_session_until_it_is_settled() -> None:
    own = run(RUN)
    own.use([ONE], set())
    assert own.inherited == own.open == {ONE}, "it may have ended before it could ask again"
    own.use([], set())
    own.use([ONE], set())
    assert own.inherited == {ONE}
    own.end([ONE])
    own.end_earlier()
    assert own.is_settled
    own.use([ONE, TWO], set())
    assert not own.inherited and own.is_settled


def test_that_a_session_sends_itself_again_is_to_be_stored_before_it_does() -> None:
    own = run({**RUN, **stored(run({}, ONE, TWO))}, ONE, TWO)
    assert not own.is_unstored({7, 8})
    own.use([ONE], set())
    assert own.is_unstored({7, 8}) and not own.is_unstored({7})
    own.take_fields()
    assert own.is_unstored({8}), "that is under way"
    own.take_fields()
    assert not own.is_unstored({8})


@pytest.mark.parametrize(("name", "text"), [("pool:7:5", "1"), ("pool:7", "1"), ("pool:7:-5", "2")])
def test_malformed_lanes_are_refused(name: str, text: str) -> None:
    with pytest.raises(MalformedPositionError):
        OwnSends().load({name: text})
