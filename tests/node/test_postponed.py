"""What rules send or delete later waits in order, is stored, and is sent as it is by then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from types import SimpleNamespace

import pytest
from support.following import pin, pinned, settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.hours import Hours
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Delivery, Incoming, Op
from afx.forwarding.rules import Route
from afx.node import postponed
from afx.node.postponed import Postponed
from afx.node.references import Reference
from afx.sandbox.judge.flow import delete, edit
from afx.telegram.session import MalformedPositionError

SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006
DELAYED = Route(1, TO, "copy", options=Options(delay=100))
START = datetime(2026, 3, 6, 20, 0, tzinfo=UTC).timestamp()
QUIET = Route(1, TO, "copy", options=Options(quiet_hours=Hours(((time(22), time(6)),), UTC)))


def delivery(message: int, op: Op = "send", rule: int = 1) -> Delivery:
    return Reference(rule, "copy", SOURCE, message, op=op).delivery(TO)


class Bench:
    """What is postponed, what was released, what is stored, and the time."""

    def __init__(self, *routes: Route, now: float = START) -> None:
        self.now = now
        self.released: list[tuple[int, str]] = []
        self.stored: dict[str, str] = {}
        self.later = self.made(*routes)

    def release(self, given: Delivery) -> bool:
        self.released.append((given.message, given.op))
        return True

    def made(self, *routes: Route) -> Postponed:
        found = Postponed(
            lambda: self.now,
            self.release,
            lambda: None,
            lambda _rule, _text: None,
            lambda _rule, _to: 0,
        )
        found.load(dict(self.stored))
        found.use_routes({SOURCE: routes}, {})
        found.start()
        return found

    def restart(self, *routes: Route) -> None:
        self.commit()
        self.later.end()
        self.later = self.made(*routes)

    def offer(self, message: int, age: float = 0.0, rule: int = 1) -> str:
        raw = SimpleNamespace(date=datetime.fromtimestamp(int(self.now - age), UTC))
        source = Incoming(SOURCE, message, "text", (), False, raw)
        return self.later.offer(delivery(message, rule=rule), source)

    def turn(self, seconds: float) -> list[tuple[int, str]]:
        """Let time pass; returns what was released since."""
        self.now += seconds
        self.later._turn()
        released, self.released = self.released, []
        return released

    def commit(self) -> None:
        fields = self.later.take_fields()
        self.stored.update(zip(fields[::2], fields[1::2], strict=True))
        self.stored = {it: text for it, text in self.stored.items() if text}
        assert all(_FIELD.fullmatch(f"{it}={text}") for it, text in self.stored.items())


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(main())


def test_a_copy_is_due_its_delay_after_its_message_and_none_overtakes() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED)
        assert it.offer(1) == "later" and it.turn(50) == []
        assert it.offer(2) == "later"
        assert it.offer(3, age=500) == "later", "it was due long ago, and waits behind the others"
        assert it.turn(50) == [(1, "send")]
        assert it.turn(49) == []
        assert it.turn(1) == [(2, "send"), (3, "send")]
        assert it.offer(4, age=500) == "now" and not it.later.next_due()

    in_loop(scenario)


def test_other_rules_and_rules_without_options_do_not_wait() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED, Route(2, TO, "copy"))
        assert it.offer(1) == "later" and it.offer(1, rule=2) == "now"

    in_loop(scenario)


def test_what_waits_outlives_restarts_and_is_not_there_twice() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED)
        for number in range(1, 601):
            it.offer(number)
            it.now += 0.1
        it.restart(DELAYED)
        assert it.offer(600) == "later", "it is replayed"
        released = it.turn(45)
        assert released and released == [(number, "send") for number in range(1, len(released) + 1)]
        it.restart(DELAYED)
        rest = it.turn(200) + it.turn(0)
        assert [number for number, _ in (*released, *rest)] == list(range(1, 601))
        it.commit()
        assert set(it.stored) == {f"lfirst:s1:{TO}"}

    in_loop(scenario)


def test_quiet_hours_hold_up_until_they_are_over_and_obey_a_change_at_once() -> None:
    async def scenario() -> None:
        it = Bench(QUIET)
        assert it.offer(1) == "now"
        assert it.turn(3 * 3_600) == [] and it.offer(2) == "later"
        assert it.turn(6 * 3_600) == []
        it.restart(QUIET)
        assert it.turn(3_599) == []
        assert it.turn(1) == [(2, "send")]
        it.now += 20 * 3_600
        assert it.offer(3) == "later"
        it.later.use_routes({SOURCE: (Route(1, TO, "copy"),)}, {})
        assert it.turn(0) == [(3, "send")]

    in_loop(scenario)


def test_changes_of_what_waits_are_seen_when_it_is_read_and_pins_wait_behind_it() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED)
        it.offer(1)
        assert it.later.follow(delivery(1, "edit")) and it.later.follow(delivery(1, "pin"))
        assert not it.later.follow(delivery(2, "edit"))
        assert it.turn(100) == [(1, "send"), (1, "pin")]
        assert not it.later.follow(delivery(1, "edit")), "it is in its lane now"

    in_loop(scenario)


def test_copies_are_deleted_later_in_quiet_hours_too() -> None:
    async def scenario() -> None:
        options = Options(auto_delete=60, quiet_hours=Hours(((time(20), time(6)),), UTC))
        route = Route(1, TO, "copy", options=options)
        it = Bench(route)
        assert it.later.delete_later(delivery(1)) and it.later.delete_later(delivery(1))
        it.restart(route)
        assert it.turn(59) == [] and it.turn(1) == [(1, "delete")]
        assert it.later.delete_later(delivery(2, rule=2)) and not it.later.next_due()

    in_loop(scenario)


def test_a_delay_that_is_shortened_or_taken_away_counts_for_what_waits_already() -> None:
    async def scenario() -> None:
        week = Route(1, TO, "copy", options=Options(delay=7 * 86_400))
        it = Bench(week)
        for number in range(1, 601):
            it.offer(number)
        it.later.use_routes({SOURCE: (DELAYED,)}, {})
        assert it.offer(601) == "later" and it.turn(99) == []
        it.restart(DELAYED)
        assert [number for number, _ in it.turn(1) + it.turn(0)] == list(range(1, 602))
        it.restart(week)
        it.offer(602)
        it.restart(Route(1, TO, "copy"))
        assert it.turn(1) == [(602, "send")] and it.offer(603) == "now"

    in_loop(scenario)


def test_a_delay_that_is_made_longer_leaves_what_waits_and_no_restart_moves_it() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED)
        it.offer(1)
        it.now += 50
        it.restart(Route(1, TO, "copy", options=Options(delay=3_600)))
        assert it.turn(49) == [] and it.turn(1) == [(1, "send")]

    in_loop(scenario)


def test_copies_stay_when_their_rule_deletes_none_any_more_and_go_earlier_when_it_says_so() -> None:
    async def scenario() -> None:
        month = Route(1, TO, "copy", options=Options(auto_delete=30 * 86_400))
        it = Bench(month)
        for number in range(1, 601):
            assert it.later.delete_later(delivery(number))
        it.commit()
        it.later.use_routes({SOURCE: (replace(month, options=Options(auto_delete=60)),)}, {})
        it.now += 30
        assert it.later.delete_later(delivery(601))
        assert len(it.turn(30) + it.turn(0)) == 600 and it.turn(30) == [(601, "delete")]
        assert it.later.delete_later(delivery(602))
        it.restart(Route(1, TO, "copy", sync=("deletes",)))
        assert it.turn(31 * 86_400) == [] and not it.later.next_due()
        it.commit()
        assert set(it.stored) == {f"lfirst:d1:{TO}"}

    in_loop(scenario)


def test_what_waits_for_a_chat_can_be_looked_through_by_the_guard_against_loops() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED, Route(2, TO, "copy", options=Options(delay=10)))
        it.offer(1)
        it.offer(2, rule=2)
        assert it.later.delete_later(delivery(3))
        assert [ref.message for ref in it.later.waiting_for(TO)] == [1, 2]
        assert not list(it.later.waiting_for(SOURCE))

    in_loop(scenario)


def test_a_session_waits_for_what_is_due_soon_and_wakes_for_the_rest() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED, replace(QUIET, rule=2), now=START + 3 * 3_600)
        assert it.later.next_due() == 0 and not it.later.is_due_soon()
        it.offer(1, rule=2)
        seven_hours = START + 10 * 3_600
        assert it.later.next_due() == seven_hours and not it.later.is_due_soon()
        it.offer(2)
        assert it.later.next_due() == it.now + 100 and it.later.is_due_soon()

    in_loop(scenario)


def test_what_waits_for_a_rule_that_is_not_there_keeps_its_time() -> None:
    async def scenario() -> None:
        it = Bench(DELAYED)
        it.offer(1)
        it.restart()
        assert it.turn(99) == [] and it.turn(1) == [(1, "send")], "its lane tells what is wrong"

    in_loop(scenario)


def test_changes_that_are_put_off_wait_for_their_time_alone_also_over_a_restart() -> None:
    async def scenario() -> None:
        it = Bench(Route(1, TO, "copy", sync=("edits",)))
        assert it.later.put_off(delivery(1, "edit"), 600)
        assert it.later.put_off(delivery(2, "delete"), 570)
        assert it.later.put_off(delivery(1, "edit"), 600), "it waits already"
        assert it.offer(3) == "now", "no message waits behind them"
        assert it.turn(599) == []
        it.restart(Route(1, TO, "copy", sync=("edits",)))
        assert it.turn(1) == [(1, "edit"), (2, "delete")]
        it.commit()
        assert not [name for name in it.stored if name.startswith("later")]

    in_loop(scenario)


def test_a_change_waits_at_most_a_minute_for_one_that_is_put_off_for_longer() -> None:
    async def scenario() -> None:
        it = Bench(Route(1, TO, "copy", sync=("edits",)))
        assert it.later.put_off(delivery(1, "edit"), 3_000)
        assert it.later.put_off(delivery(2, "edit"), 5)
        assert it.turn(4) == [] and it.turn(1) == [(1, "edit"), (2, "edit")]

    in_loop(scenario)


def test_the_number_of_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postponed, "_MOST", 2)

    async def scenario() -> None:
        it = Bench(DELAYED)
        assert [it.offer(number) for number in (1, 2, 3, 2)] == ["later", "later", "full", "later"]

    in_loop(scenario)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("later:x1:-6:0", "1:c:-5:1@9"),
        ("later:s1:-6", "1:c:-5:1@9"),
        ("later:s1:-6:0", "1:c:-5:1@x"),
        ("lfirst:s1:-6", "x"),
    ],
)
def test_malformed_queues_are_refused(name: str, text: str) -> None:
    async def scenario() -> None:
        it = Bench()
        it.stored = {name: text}
        with pytest.raises(MalformedPositionError):
            it.made()

    in_loop(scenario)


def test_a_delayed_copy_is_made_as_its_message_is_by_then_also_after_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"options": {"delay": 3_600}, "sync": ("edits", "pins")})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two", "three")
        edit(sandbox.server, source.marked, 0, 1, "uno")
        delete(sandbox.server, source.marked, 0, [2])
        pin(sandbox, source, 3)
        await settled(session, source)
        await session.stop()
        stored = harness.commit(session)
        assert texts(to) == [] and any(it.startswith("later:s1") for it in stored)
        ahead(harness)
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        await until(lambda: pinned(to) == ["three"])
        edit(sandbox.server, source.marked, 0, 1, "uno!")
        await until(lambda: "uno!" in texts(to))
        assert [it for it in texts(to) if it] == ["uno!", "three"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def ahead(harness: SessionHarness) -> None:
    """Set the wall clock of the next session an hour ahead."""
    time_before = harness.clock.time
    harness.clock = replace(harness.clock, time=lambda: time_before() + 3_601.0)


def test_a_copy_is_deleted_when_its_time_is_over_also_after_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"options": {"auto_delete": 3_600}})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        await settled(session, source)
        await session.stop()
        stored = harness.commit(session)
        ahead(harness)
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "three")
        await until(lambda: texts(to) == ["three"])
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_delayed_copy_goes_round_no_loop_when_the_commit_after_it_is_lost() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, a, b = one_rule(sandbox)
        a.posters.add(account.id)
        rules = ((a, b, "copy", {"options": {"delay": 3_600}}), (b, a, "copy"))
        session = harness.session(account, *rules)
        await session.start()
        say(sandbox, a, "one")
        await settled(session, a)
        await session.stop()
        stored = harness.commit(session)
        ahead(harness)
        for end in ("end", "end of the next one"):  # the first one ends before it is stored
            session = harness.session(account, *rules, cursors=stored)
            await session.start()
            await until(lambda: "one" in texts(b))
            say(sandbox, b, end)
            await until(lambda end=end: end in texts(a))
            await session.stop()
            assert texts(a).count("one") == 1

    run_scenario(scenario)
