"""Plug-ins change and drop copies; one that fails, or hangs, loses nothing and doubles nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.following import settled
from support.plugins import HOOKS, Settings, upper
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon.tl import types

from afx.node import plugged
from afx.plugins import Message
from afx.plugins.runner import PluginRunner
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import edit


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Returns what a test may add plug-ins to."""
    found = dict(HOOKS)
    monkeypatch.setattr(plugged, "_RUNNER", PluginRunner(lambda name: found[name]))
    return found


def options(*plugins: dict[str, Any]) -> dict[str, Any]:
    return {"options": {"plugins": [{"timeout": 60, **it} for it in plugins]}}


def test_copies_are_changed_or_dropped_in_order_and_edits_too(hooks: dict[str, Any]) -> None:
    async def slow_first(message: Message, _: Settings) -> Message | None:
        if message.text == "one":
            await asyncio.sleep(0.2)
        return None

    hooks["slow_first"] = slow_first

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        more = options({"name": "slow_first"}, {"name": "no_b"}, {"name": "upper"})
        rule = (source, to, "copy", {**more, "sync": ("edits",)})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "bad", "two")
        await settled(session, source)
        assert texts(to) == ["ONE", "TWO"]
        edit(sandbox.server, source.marked, 0, 3, "three")
        await until(lambda: texts(to) == ["ONE", "THREE"])
        await session.stop()
        harness.commit(session)
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("on_error", "wanted"),
    [("pass", ["a!", "bad", "c!"]), ("drop", ["a!", "c!"]), ("dead", ["a!", "c!"])],
)
def test_the_rule_says_what_becomes_of_a_message_without_an_answer(
    hooks: dict[str, Any], on_error: str, wanted: list[str]
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", options({"name": "fails", "on_error": on_error}))
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "a", "bad", "c")
        await settled(session, source)
        assert texts(to) == wanted and TroubleReason.PLUGIN_FAILED in harness.reasons
        harness.commit(session)
        dead = [(it.reason, it.messages) for it in harness.dead]
        assert dead == ([(DeadReason.PLUGIN_FAILED, (2,))] if on_error == "dead" else [])
        if dead:
            hooks["fails"] = upper
            plugged._RUNNER = PluginRunner(lambda name: hooks[name])
            [it] = harness.dead
            route = (it.rule, it.source, it.destination)
            await session.redeliver(*route, it.messages, reason=it.reason)
            await until(lambda: texts(to) == [*wanted, "BAD"])
        await session.stop()

    run_scenario(scenario)


def test_a_crash_between_the_answer_and_the_link_doubles_nothing(hooks: dict[str, Any]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", options({"name": "upper"}))
        session = harness.session(account, rule)
        await session.start()
        stored = harness.commit(session)
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["ONE", "TWO"])
        await session.stop()  # nothing of it is committed
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "three")
        await settled(session, source)
        assert texts(to) == ["ONE", "TWO", "THREE"]
        await session.stop()

    run_scenario(scenario)


def test_a_hook_that_hangs_holds_up_its_own_lane_only_for_its_time(
    hooks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afx.plugins.runner._STUCK_SECONDS", 0.05)
    free = threading.Event()

    async def hangs(message: Message, _: Settings) -> None:
        if message.text == "hang":
            free.wait(3)

    hooks["hangs"] = hangs

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        session = harness.session(
            account,
            (source, to, "copy", options({"name": "hangs", "timeout": 1})),
            (source, other, "copy"),
        )
        await session.start()
        say(sandbox, source, "hang", "next")
        await until(lambda: texts(other) == ["hang", "next"])
        await until(lambda: texts(to) == ["hang", "next"])
        await session.stop()
        free.set()

    run_scenario(scenario)


def test_an_edit_of_what_was_never_copied_is_no_call_of_a_plugin(hooks: dict[str, Any]) -> None:
    asked: list[tuple[str, bool]] = []

    async def notes(message: Message, _: Settings) -> Message | None:
        asked.append((message.text, message.is_edit))
        return None

    hooks["notes"] = notes

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        more = {
            **options({"name": "notes"}),
            "sync": ("edits",),
            "filter": {"contains": ["two"]},
        }
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        say(sandbox, source, "one", "two")
        await settled(session, source)
        edit(sandbox.server, source.marked, 0, 1, "uno")
        edit(sandbox.server, source.marked, 0, 2, "zwei")
        await until(lambda: texts(to) == ["zwei"])
        await settled(session, source)
        await session.stop()
        assert asked == [("two", False), ("zwei", True)]

    run_scenario(scenario)


@pytest.mark.parametrize("on_error", ["dead", "drop", "pass"])
def test_an_answer_that_cannot_be_sent_counts_as_none(hooks: dict[str, Any], on_error: str) -> None:
    async def unsendable(message: Message, _: Settings) -> Message | None:
        if message.text != "bad":
            return None
        return Message("bad", (types.MessageEntityTextUrl(0, 3, url=7),), rule=message.rule)

    hooks["unsendable"] = unsendable

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", options({"name": "unsendable", "on_error": on_error}))
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "a", "bad", "c")
        await settled(session, source)
        assert texts(to) == (["a", "bad", "c"] if on_error == "pass" else ["a", "c"])
        assert TroubleReason.PLUGIN_FAILED in harness.reasons
        await session.stop()
        harness.commit(session)
        dead = [(it.reason, it.messages) for it in harness.dead]
        assert dead == ([(DeadReason.PLUGIN_FAILED, (2,))] if on_error == "dead" else [])

    run_scenario(scenario)


def test_what_comes_up_while_a_plugin_is_asked_holds_the_send_up(hooks: dict[str, Any]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", options({"name": "pauses"})))
        asked = asyncio.Event()

        async def pauses(_message: Message, _: Settings) -> None:
            loop.call_soon_threadsafe(session.pause)
            loop.call_soon_threadsafe(asked.set)

        loop, hooks["pauses"] = asyncio.get_running_loop(), pauses
        await session.start()
        say(sandbox, source, "one")
        await asked.wait()
        await until(lambda: session.forwarder.lanes[to.marked]._task is None)
        assert texts(to) == [], "the lease is running out: another node may have the session"
        session.resume()
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)
