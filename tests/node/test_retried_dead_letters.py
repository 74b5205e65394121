"""Dead letters that are tried again: behind what waits, once, and whatever dies between."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions

from afx.node import lane
from afx.node.session import HostedSession
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Channel
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import TaskFailedError, TryAgainError
from afx.tasks.kinds.rule_retry import RetryArguments, RetryResult

SEND = functions.messages.SendMessageRequest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.02)


class Store:
    """What SQL and Redis hold: the dead letters of one route, as the leader keeps them."""

    def __init__(self, harness: SessionHarness) -> None:
        self.harness = harness
        self.dead: set[int] = set()
        self.fails = False

    def commit(self, session: HostedSession) -> None:
        before = len(self.harness.dead)
        self.harness.commit(session)
        for it in self.harness.dead[before:]:
            if it.reason is None:
                self.dead -= set(it.messages)
            else:
                self.dead |= set(it.messages)
        session.note_committed()

    async def store(self, session: HostedSession) -> bool:
        if self.fails:
            return False
        self.commit(session)
        return True


class Run:
    """What the kind uses of a run."""

    def __init__(self, session: HostedSession) -> None:
        self._session = session
        self.rules = session.spec.rules

    async def redeliver(self, *route: Any, **more: Any) -> None:
        if not await self._session.redeliver(*route, **more):
            raise TryAgainError("moved")


async def retry(session: HostedSession, source: int, to: int, messages: str) -> RetryResult:
    route = {"source": source, "destination": to, "messages": messages}
    arguments = RetryArguments.model_validate({"rule": 1, "routes": [route]})
    result = await KINDS["rule.retry"].run(Run(session), arguments)  # type: ignore[arg-type]
    assert isinstance(result, RetryResult)
    return result


def storing(session: HostedSession, store: Callable[[HostedSession], Awaitable[bool]]) -> None:
    """Let a session's own commits go to a test's store."""
    object.__setattr__(session._env, "store", store)


def test_a_dead_letter_that_is_tried_again_arrives_and_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RefusingHandler(monkeypatch, SEND, (400, "MESSAGE_TOO_LONG"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        session = harness.session(account, (source, to, "copy"))
        storing(session, store.store)
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: session.reader.channels[source.id].cursor == 2)
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        store.commit(session)
        assert store.dead == {1}
        assert (await retry(session, source.marked, to.marked, "1")).waiting == 1
        assert not store.dead
        await until(lambda: texts(to) == ["two", "one"])
        await retry(session, source.marked, to.marked, "1-2")
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["two", "one"], "what was delivered is known"
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_late_retry_knows_what_was_copied_since_the_start(is_stored: bool) -> None:
    """Telegram's memory of random ids is empty: only the links know."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        if is_stored:
            store.commit(session)
        account.sent.clear()
        await session.redeliver(1, source.marked, to.marked, [1, 2])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)


def waiting(session: HostedSession, to: Channel) -> list[str]:
    lane = session.forwarder.lanes.get(to.marked)
    return [it.delivery.text for it in lane._queue._held] if lane else []


def test_a_dead_letter_goes_behind_what_is_in_flight_and_what_waits() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        old = sandbox.channel(account)
        say(sandbox, old, "old 1", "old 2")
        session = harness.session(account, (old, to, "copy"), (source, to, "copy"))
        storing(session, store.store)
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 0.3)
        said = [f"message {number}" for number in range(120)]
        say(sandbox, source, *said)
        # All have arrived; on a busy machine the first ones are sent by then.
        await until(lambda: said[-1] in {*waiting(session, to), *texts(to)})
        await retry(session, old.marked, to.marked, "1-2")
        say(sandbox, source, "the last one")
        await until(lambda: len(texts(to)) == 123)
        assert texts(to) == [*said, "old 1", "old 2", "the last one"]
        await session.stop()

    run_scenario(scenario)


def test_a_retry_at_a_node_that_lost_the_session_reports_nothing_as_revived() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        session = harness.session(account, (source, to, "copy"))
        storing(session, store.store)
        await session.start()
        store.fails, store.dead = True, {1}
        with pytest.raises(TryAgainError):
            await retry(session, source.marked, to.marked, "1")
        store.commit(session)
        assert store.dead == {1}
        await session.stop()

    run_scenario(scenario)


def test_a_rule_that_the_session_does_not_have_keeps_its_dead_letters() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        route = {"source": 1, "destination": 2, "messages": "1"}
        arguments = RetryArguments.model_validate({"rule": 9, "routes": [route]})
        with pytest.raises(TaskFailedError, match="no enabled rule"):
            await KINDS["rule.retry"].run(Run(session), arguments)  # type: ignore[arg-type]
        await session.stop()

    run_scenario(scenario)


def test_a_refused_edit_stays_a_dead_letter_when_its_rule_follows_no_edits_any_more() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        session = harness.session(account, (source, to, "copy", {"sync": ("pins",)}))
        storing(session, store.store)
        await session.start()
        store.dead = {1, 2}
        route = {"source": source.marked, "destination": to.marked}
        changed = {**route, "messages": "1", "reason": "edit_refused"}
        others = {**route, "messages": "2"}
        arguments = RetryArguments.model_validate({"rule": 1, "routes": [changed, others]})
        with pytest.raises(TaskFailedError, match=r"follows no edits any more.*1 others"):
            await KINDS["rule.retry"].run(Run(session), arguments)  # type: ignore[arg-type]
        store.commit(session)
        assert 1 in store.dead
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("text", ["", "1-", "5-3", "1-999", "x", "2147483648", "1,,2", "1-257"])
def test_ids_that_are_malformed_or_too_many_are_refused(text: str) -> None:
    route = {"source": 1, "destination": 2, "messages": text}
    with pytest.raises(ValueError, match="messages"):
        RetryArguments.model_validate({"rule": 1, "routes": [route]})


@pytest.mark.parametrize("seed", range(6))
def test_refusals_kills_and_doubled_retries_lose_and_double_nothing(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each message arrives once or is a dead letter; tried often enough, all arrive."""
    chance = random.Random(seed)
    refusing = [0.5]
    for method in (SEND, functions.channels.GetMessagesRequest):
        answer = HANDLERS[method]

        def handle(call: Any, request: Any, answer: Any = answer) -> Any:
            if chance.random() < refusing[0] * (0.4 if isinstance(request, SEND) else 1):
                raise RpcError(400, chance.choice(("MESSAGE_TOO_LONG", "CHANNEL_PRIVATE")))
            return answer(call, request)

        monkeypatch.setitem(HANDLERS, method, handle)
    monkeypatch.setattr("afx.node.patience.MOST_TRIES", 2)
    monkeypatch.setattr(lane, "_PARK_SECONDS", 0.1)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        store = Store(harness)
        rule = (source, to, "copy")

        async def started(session: HostedSession) -> HostedSession:
            storing(session, store.store)
            await session.start()
            store.commit(session)
            return session

        session = await started(harness.session(account, rule))
        said: list[str] = []

        async def try_again(session: HostedSession) -> None:
            session.forwarder.try_again(to.marked)
            for it in [it for it in sorted(store.dead) if chance.random() < 0.7]:
                for _ in range(chance.randrange(1, 3)):
                    await retry(session, source.marked, to.marked, str(it))

        for _ in range(25):
            new = [f"{len(said) + it}" for it in range(chance.randrange(8))]
            said += new
            say(sandbox, source, *new)
            match chance.randrange(6):
                case 0:  # killed: what it has done since its last commit is not stored
                    await session.stop()
                    session = await started(
                        harness.session(account, rule, cursors=dict(harness.progress))
                    )
                case 1 | 2:
                    await try_again(session)
                case 3:  # killed in a retry, after each of its steps
                    store.fails = True
                    session.forwarder.revive(1, source.marked, to.marked, sorted(store.dead)[:3])
                    if chance.random() < 0.5:
                        store.commit(session)
                    store.fails = False
                    await session.stop()
                    session = await started(
                        harness.session(account, rule, cursors=dict(harness.progress))
                    )
                case _:
                    store.commit(session)
            await asyncio.sleep(chance.uniform(0, 0.02))
        refusing[0] = 0.0
        async with asyncio.timeout(20):
            while len(texts(to)) < len(said):
                await try_again(session)
                await asyncio.sleep(0.02)
                store.commit(session)
        found = Counter(texts(to))
        assert set(found) == set(said)
        assert max(found.values()) == 1
        await session.stop()

    run_scenario(scenario)
