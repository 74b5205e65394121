"""What Telegram errs on for ever holds up its lane for a bounded time, and not in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon import errors
from telethon.tl import functions

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.pipeline import random_id
from afx.node import lane, message_source, vain_tries
from afx.node.stuck import Stuck
from afx.node.vain_tries import VainTries
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import HANDLERS

SEND = functions.messages.SendMessageRequest
KEY = (1, -7, 5, "send")


def vain(now: Callable[[], float] = lambda: 1e9, stored: Sequence[str] = ()) -> VainTries:
    """Return the tries of a lane for destination 9, as an earlier run has stored them."""
    stuck = Stuck(now)
    stuck.load(dict(zip(stored[::2], stored[1::2], strict=True)))
    return VainTries(stuck, 9)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vain_tries, "GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr(vain_tries, "LEAST_TRIES", 4)
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.02)


class Erring:
    """Answers requests that are wrong with an error of the server, before or after it acts."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        method: type,
        is_wrong: Callable[[Any], bool],
        *,
        acts: bool = False,
    ) -> None:
        self.count = 0
        self.is_over = False
        self._is_wrong, self._acts = is_wrong, acts
        self._answer = HANDLERS[method]
        monkeypatch.setitem(HANDLERS, method, self._handle)

    def _handle(self, call: Any, request: Any) -> Any:
        if self.is_over or not self._is_wrong(request):
            return self._answer(call, request)
        self.count += 1
        if self._acts:
            self._answer(call, request)
        raise RpcError(500, "INTERNAL")


def test_a_message_that_telegram_errs_on_for_ever_becomes_a_dead_letter_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    it = vain()
    tried = [it.failed(KEY, 60.0 * minute, has_album=True) for minute in range(63)]
    assert tried.index("give up") == 61, "once together with its album, and then by itself"
    it.passed()
    assert it.failed(KEY, 9_000.0, has_album=True) == "later"


def test_few_tries_in_a_long_time_are_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    it = vain()
    assert {it.failed(KEY, 3_600.0 * n, has_album=False) for n in range(19)} == {"later"}


def test_what_has_no_album_is_sent_one_by_one_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    it = vain()
    for _ in range(5):
        assert not it.is_single
        it.failed(KEY, 0.0, has_album=False)
    assert it.is_single
    it.failed((1, -7, 6, "send"), 0.0, has_album=False)
    assert not it.is_single, "another one has its own tries"


def test_the_hour_goes_on_over_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    stored: list[str] = []
    minutes, verdicts = 0, []
    for _ in range(14):  # every five minutes the session moves
        it = vain(lambda: 1e9 + 60.0 * minutes, stored)  # noqa: B023
        for second in range(5):
            verdicts.append(it.failed(KEY, 7.0 + 60.0 * second, has_album=False))
            minutes += 1
        stored = it._stuck.fields()
        assert _FIELD.fullmatch("=".join(stored)), "the coordinator copies no such cursor"
    assert verdicts.index("give up") == 61, "once more by itself in the run that gives it up"
    assert vain(lambda: 1e9 + 6_000.0, stored).failed((1, -7, 6, "send"), 0.0, has_album=False)
    it.passed()
    assert it._stuck.fields() == ["stuck:9", ""] and not it._stuck.fields()


@pytest.mark.parametrize(
    "text",
    [
        "1:-7:5:read eat:999999000:2",
        "",
        "1",
        "1:-7:5:send:1:2:3",
        "1:-7:5:eat:999999000:2",
        "1:-7:5:send:1:2",
    ],
)
def test_a_malformed_or_old_beginning_is_none_and_is_removed(text: str) -> None:
    it = vain(stored=["stuck:9", text, "stuck:x", "1:-7:5:send:999999000:2"])
    assert it._stuck.before(9, KEY) == (0.0, 0)
    assert it._stuck.fields() == ["stuck:9", ""]


def test_a_message_that_is_stuck_when_its_session_ends_is_so_when_the_next_one_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vain_tries, "LEAST_TRIES", 100_000)
    wrong = Erring(monkeypatch, SEND, lambda it: it.message == "bad")

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "bad")
        await until(lambda: wrong.count >= 4)
        await session.stop()
        stored = harness.commit(session)
        tries = int(stored[f"stuck:{to.marked}"].rpartition(":")[2])
        assert tries >= 4
        monkeypatch.setattr(vain_tries, "LEAST_TRIES", tries + 1)
        session = harness.session(account, (source, to, "copy"), cursors=stored)
        await session.start()
        await until(lambda: harness.commit(session) is not None and bool(harness.dead))
        await session.stop()
        assert f"stuck:{to.marked}" not in harness.commit(session)
        assert harness.dead[0].messages == (1,)

    run_scenario(scenario)


def test_errors_on_one_message_hold_up_its_lane_for_a_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Erring(monkeypatch, SEND, lambda it: it.message == "bad")

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "bad", "two", "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.messages, dead.reason) == ((2,), DeadReason.MESSAGE_REFUSED)
        assert "INTERNAL" in dead.error and dead.attempts == wrong.count >= 4

    run_scenario(scenario)


def test_the_rule_tells_of_errors_while_they_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_HINDERED_AFTER", 2)
    monkeypatch.setattr(vain_tries, "LEAST_TRIES", 100_000)
    wrong = Erring(monkeypatch, SEND, lambda _: True)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.rules.get(1))
        trouble = harness.rules[1]
        assert trouble is not None and trouble.reason is TroubleReason.SEND_FAILED
        assert "INTERNAL" in trouble.text
        wrong.is_over = True
        await until(lambda: texts(to) == ["one"] and harness.rules[1] is None)
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_cannot_be_read_for_ever_holds_up_its_outbox_for_a_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = message_source.fetch_messages

    async def erring(
        client: Any, chat: int, peer: Any, ids: Sequence[int], *more: Any
    ) -> list[Any]:
        if 3 in ids:
            raise errors.ServerError(None, "INTERNAL", 500)
        return await read(client, chat, peer, ids, *more)

    monkeypatch.setattr(message_source, "fetch_messages", erring)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        session.forwarder._lane(to.marked).close("it takes no messages")
        say(sandbox, source, "one", "two", "bad", "three")
        await until(lambda: session.forwarder.outboxes.of(to.marked).count == 4)
        session.forwarder.try_again(to.marked)
        await until(lambda: texts(to) == ["one", "two", "three"])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.messages, dead.reason) == ((3,), DeadReason.MESSAGE_UNREADABLE)

    run_scenario(scenario)


def test_what_has_arrived_in_spite_of_its_errors_is_linked_and_no_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Erring(monkeypatch, SEND, lambda it: it.message == "made", acts=True)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "made")
        await until(lambda: wrong.count)
        number = random_id(1, source.marked, 1, to.marked)
        session.forwarder.announce(number, next(iter(to.box.messages)))
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["made", "two"])
        await settled(session, source)
        await session.stop()
        links = session.collect_uncommitted().links
        assert [(it.delivery.message, it.copy) for it in links] == [(1, 1), (2, 2)]
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)
