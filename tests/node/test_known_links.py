"""A replay settles what is linked already without a send, whatever Telegram remembers."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_module
from support.hosts import SESSION, HostBench, host_on
from support.links import stored_links
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.cluster import keys
from afx.node import admission, lane

SEND = functions.messages.SendMessageRequest


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_a_restart_from_an_older_cursor_sends_nothing_twice(mode: str) -> None:
    """Telegram's memory of random ids is empty: only the links know."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        old = harness.commit(session)
        said = [f"message {number}" for number in range(300)]
        say(sandbox, source, *said)
        await until(lambda: len(texts(to)) == 300)
        await session.stop()
        harness.commit(session)
        account.sent.clear()
        say(sandbox, source, "after the stop")
        again = harness.session(account, (source, to, mode), cursors=old)
        await again.start()
        await until(lambda: len(texts(to)) == 301)
        assert texts(to) == [*said, "after the stop"]
        await until(lambda: harness.commit(again)[f"last:{source.marked}"] == "301")
        assert again.sent == 1
        await again.stop()

    run_scenario(scenario)


def test_only_the_destinations_that_have_no_copy_yet_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One destination has held the cursor back; the others have all copies."""
    monkeypatch.setattr(lane, "_PARK_SECONDS", 10_000.0)  # it would go to its outbox

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        slow = sandbox.channel(posters=(account,))
        rules = (source, to, "copy"), (source, slow, "copy")
        session = harness.session(account, *rules)
        await session.start()
        old = harness.commit(session)
        sandbox.server.faults.add_flood(account.id, slow.marked, 600, "FLOOD_WAIT")
        said = [f"message {number}" for number in range(20)]
        say(sandbox, source, *said)
        await until(lambda: len(texts(to)) == 20)
        await session.stop()
        assert harness.commit(session)[f"channel:{source.id}"] == old[f"channel:{source.id}"]
        sandbox.server.faults.floods.clear()
        account.sent.clear()
        handler = RefusingHandler(monkeypatch, SEND)
        again = harness.session(account, *rules, cursors=old)
        await again.start()
        await until(lambda: len(texts(slow)) == 20)
        assert (texts(to), texts(slow), len(handler.requests)) == (said, said, 20)
        await again.stop()

    run_scenario(scenario)


def test_messages_behind_a_question_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_AT_ONCE", 3)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        wanted = [f"message {number}" for number in range(40)]
        for text in wanted:
            say(sandbox, source, text)
        await until(lambda: len(texts(to)) == 40)
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)


def test_a_question_that_fails_is_reported_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "_RETRY_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        heads, failures = harness.links.heads, [ValueError("one"), ValueError("two")]

        async def failing(rules: object) -> object:
            if failures:
                raise failures.pop()
            return await heads(rules)  # type: ignore[arg-type]

        monkeypatch.setattr(harness.links, "heads", failing)
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert len([it for it in harness.troubles if "ValueError" in it]) == 2
        await session.stop()

    run_scenario(scenario)


def test_a_host_reads_the_links_that_it_has_stored(
    redis_url: str, redis: redis_module.Redis, tmp_path: Path
) -> None:
    """Through Redis: stop, put back the cursor, clear Telegram's memory, start."""

    async def scenario(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, tmp_path) as host:
            bench = HostBench(sandbox, host, redis)
            source, to = bench.add_rule()
            bench.assign(5)
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            old = redis.hgetall(keys.cursor(SESSION))
            said = [f"message {number}" for number in range(300)]
            say(sandbox, source, *said)
            await until(lambda: len(texts(to)) == 300)
            await bench.stop(5)
            await until(lambda: ("stopped", 5) in bench.reported())
            assert [len(it) for it in stored_links(redis, 1).values()] == [300]
            bench.account.sent.clear()
            redis.hset(keys.cursor(SESSION), mapping=old)  # type: ignore[arg-type]
            redis.hset(keys.cursor(SESSION), f"last:{source.marked}", 0)
            say(sandbox, source, "after the stop")
            await bench.start(6)
            await until(lambda: len(texts(to)) > 300)
            assert texts(to) == [*said, "after the stop"]

    run_scenario(scenario)
