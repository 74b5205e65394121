"""A session whose rule has reached its caps goes on by itself; hours are those of a zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.forwarding.caps import compile_caps
from afx.node.cap_counts import CapCounts
from afx.node.references import Reference, decode, encode
from afx.reasons import TroubleReason
from afx.sandbox.judge.flow import delete
from afx.telegram.session import MalformedPositionError

HOUR = 3_600.0
SEVEN = datetime(2026, 3, 6, 7, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("name", "text"), [("cap:1", "1:1:1:1"), ("cap:1:-5", "1:1:1")])
def test_malformed_counts_are_refused(name: str, text: str) -> None:
    with pytest.raises(MalformedPositionError):
        CapCounts(lambda: SEVEN, lambda _rule, _to: 0).load({name: text})


def test_a_reference_of_an_album_is_stored_as_one() -> None:
    some = [Reference(1, "copy", 5, it, due=9, joined=it > 3) for it in (3, 4, 5)]
    assert encode(some) == "1:c:5:3@9;1:c+:5:4-5@9" and decode(encode(some)) == some


def test_hours_and_days_of_a_zone_follow_its_clock() -> None:
    berlin = compile_caps({"per_hour": 1, "zone": "Europe/Berlin"})
    short = berlin.windows(datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp())
    assert short.day_end - short.day == 23 * HOUR
    long = berlin.windows(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp())
    again = berlin.windows(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp())
    assert long.day_end - long.day == 25 * HOUR and again.hour == long.hour_end
    with pytest.raises(ValueError, match="caps"):
        compile_caps({"per_hour": True})


def test_a_capped_session_goes_on_at_the_next_hour_also_after_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = [SEVEN]
        harness.clock = replace(harness.clock, time=lambda: now[0])
        rule = (source, to, "copy", {"options": {"caps": {"per_hour": 2}}})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two", "three", "four", "five")
        await settled(session, source)
        await until(lambda: texts(to) == ["one", "two"])
        trouble = harness.rules[1]
        assert trouble is not None and trouble.reason is TroubleReason.CAP_REACHED
        await session.stop()
        stored = harness.commit(session)
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "six")
        await settled(session, source)
        assert texts(to) == ["one", "two"]
        await session.stop()
        stored, now[0] = harness.commit(session), SEVEN + HOUR
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        await until(lambda: texts(to) == ["one", "two", "three", "four"])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        now[0] += HOUR
        session.forwarder.later._turn()
        await until(lambda: texts(to)[4:] == ["five", "six"])
        await session.stop()
        assert harness.rules[1] is None and not harness.dead

    run_scenario(scenario)


def test_what_is_replayed_while_it_waits_in_an_outbox_counts_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = [SEVEN]
        harness.clock = replace(harness.clock, time=lambda: now[0])
        rule = (source, to, "copy", {"options": {"caps": {"per_hour": 3}}})
        session = harness.session(account, rule)
        await session.start()
        begun = harness.commit(session)[f"channel:{source.id}"]
        session.forwarder._lane(to.marked).close("it takes no messages")
        say(sandbox, source, "one", "two")
        await settled(session, source)
        progress = session.collect_uncommitted().cursor
        names = [it.partition(":")[0] for it in progress[::2]]
        assert names.index("cap") < names.index("outbox"), "a cut commit counts too much at worst"
        stored = {**harness.progress, **dict(zip(progress[::2], progress[1::2], strict=True))}
        await session.stop()
        for _ in range(3):  # another destination has held the cursor back
            stored[f"channel:{source.id}"] = begun
            session = harness.session(account, rule, cursors=stored)
            session.forwarder._lane(to.marked).close("it takes no messages")
            await session.start()
            await settled(session, source)
            await session.stop()
            harness.commit(session)
            stored.update(harness.progress)
        assert stored[f"cap:1:{to.marked}"].split(":")[1::2] == ["2", "2"]

    run_scenario(scenario)


def test_what_is_deleted_in_its_lane_takes_no_room_in_the_next_hour() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = [SEVEN]
        harness.clock = replace(harness.clock, time=lambda: now[0])
        more = {"options": {"caps": {"per_hour": 1}}, "sync": ("deletes",)}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        to.posters.clear()
        say(sandbox, source, "one")
        await until(
            lambda: bool(session.rule_troubles) and session.forwarder.outboxes.has(to.marked)
        )
        await session.stop()
        stored, now[0] = harness.commit(session), SEVEN + HOUR
        delete(sandbox.server, source.marked, 0, [1])
        to.posters.add(account.id)
        session = harness.session(account, (source, to, "copy", more), cursors=stored)
        await session.start()
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        say(sandbox, source, "two")
        await settled(session, source)
        await until(lambda: bool(texts(to)) or bool(session.forwarder.later.next_due()))
        assert texts(to) == ["two"], "it need not wait for another hour"
        await session.stop()
        assert not harness.dead

    run_scenario(scenario)
