"""A replay makes the copies that live forwarding makes, and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.forums import make, put, shown
from support.plugins import HOOKS
from support.replays import ReplayRun
from support.reuploads import REUPLOAD, photo, protected, publish
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon.tl import types

from afx.cluster.task_jobs import TaskJob
from afx.node import plugged
from afx.node.session import HostedSession
from afx.plugins.runner import PluginRunner
from afx.reasons import TaskOutcome
from afx.sandbox.telegram.peers import Topic
from afx.tasks.kinds import rule_replay, rule_test
from afx.tasks.kinds.base import SnoozeError, TaskFailedError, TryAgainError
from afx.tasks.run import Run


def task_of(session: HostedSession) -> Any:
    """Return a run of a task of a session, which keeps no progress."""
    return ReplayRun(session)


def test_old_messages_are_filtered_and_changed_and_none_is_doubled() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        files = sandbox.server.world.files
        say(sandbox, source, "good 1", "bad 2", "good 3")
        more = {"filter": {"contains": ["good"]}, "transform": ({"footer": "x"},)}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        photo = files.add(b"photo", is_photo=True)
        message, event = sandbox.server.world.post(source, 0, "good photo", media=photo)
        sandbox.server.pushes.channel_event(source, event, message)
        say(sandbox, source, "good live")
        await until(lambda: texts(to) == ["good photo\nx", "good live\nx"])
        done = await rule_replay.run(task_of(session), REPLAY)
        assert (done.copied, done.refused) == (4, 0)
        assert texts(to) == ["good photo\nx", "good live\nx", "good 1\nx", "good 3\nx"]
        await session.stop()

    run_scenario(scenario)


REPLAY = rule_replay.ReplayArguments(rule=1, first=1, last=100)
NEAR = {"window": 3_600, "near": 0.8}


@pytest.mark.parametrize("dedupe", [3_600, NEAR])
def test_a_rule_that_forwards_each_content_once_gets_it_once_by_a_replay(dedupe: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        too = sandbox.channel(posters=(account,))
        say(sandbox, source, "one", "two", "one")
        say(sandbox, other, "two", "three")
        more = {"options": {"dedupe": dedupe}}
        session = harness.session(account, ((source, other), (to, too), "copy", more))
        await session.start()
        done = await rule_replay.run(task_of(session), REPLAY)
        assert sorted(texts(to)) == sorted(texts(too)) == ["one", "three", "two"]
        assert done.copied == 6
        await session.stop()

    run_scenario(scenario)


def test_buttons_become_links_below_the_text_as_they_do_live() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        button = types.KeyboardInlineButton("Buy", types.InlineButtonTypeUrl("https://a.example/"))
        rows = types.ReplyInlineMarkup([types.KeyboardInlineButtonRow([button])])
        sandbox.server.world.post(source, 0, "one", markup=rows)
        session = harness.session(account, (source, to, "copy", {"options": {"buttons": "text"}}))
        await session.start()
        await rule_replay.run(task_of(session), REPLAY)
        assert texts(to) == ["one\n\nBuy"]
        await session.stop()

    run_scenario(scenario)


def test_buttons_that_a_bot_would_keep_are_left_out_by_people_as_they_are_live() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        button = types.KeyboardInlineButton("Buy", types.InlineButtonTypeUrl("https://a.example/"))
        rows = types.ReplyInlineMarkup([types.KeyboardInlineButtonRow([button])])
        world = sandbox.server.world
        photo = world.files.add(b"photo", is_photo=True)
        world.post(source, 0, "one", markup=rows, media=photo)
        rule = (source, to, "copy", {"options": {"buttons": "keep"}})
        session = harness.session(account, rule)
        await session.start()
        message, event = world.post(source, 0, "live", markup=rows, media=photo)
        sandbox.server.pushes.channel_event(source, event, message)
        await until(lambda: texts(to) == ["live"])
        await rule_replay.run(task_of(session), REPLAY)
        live, replayed = to.box.messages.values()
        assert (replayed.text, replayed.markup) == ("one", live.markup)
        await session.stop()

    run_scenario(scenario)


def test_a_bot_is_told_that_it_cannot_read_old_messages() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        bot = sandbox.server.world.add_bot()
        source, to = sandbox.channel(bot), sandbox.channel(bot, posters=(bot,))
        session = SessionHarness(sandbox).session(bot, (source, to, "copy"))
        await session.start()
        with pytest.raises(TaskFailedError, match="bot"):
            await rule_replay.run(task_of(session), REPLAY)
        await session.stop()

    run_scenario(scenario)


def test_the_rules_plug_ins_change_drop_and_refuse_what_is_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugged, "_RUNNER", PluginRunner(lambda name: HOOKS[name]))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, "one", "b two", "bad three", "four")
        used = [{"name": "no_b"}, {"name": "upper"}]
        wrong = [{"name": "fails", "on_error": "dead"}]
        rules = [(source, to, "copy", {"options": {"plugins": it}}) for it in (used, wrong)]
        session = harness.session(account, *rules)
        await session.start()
        done = await rule_replay.run(task_of(session), REPLAY)
        assert (texts(to), done.copied, done.refused) == (["ONE", "FOUR"], 2, 0)
        done = await rule_replay.run(
            task_of(session), rule_replay.ReplayArguments(rule=2, first=1, last=100)
        )
        assert (texts(to)[2:], done.refused) == (["one!", "b two!", "four!"], 1)
        await session.stop()

    run_scenario(scenario)


def test_a_topic_is_replayed_into_a_topic_and_its_chats_are_checked() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        world = sandbox.server.world
        forum = world.add_channel("forum", members=[account.id], forum=True)
        assert forum.topics is not None
        forum.topics |= {it: Topic(it, f"topic {it}", 0, 0) for it in (7, 8)}
        forum.topics[8].closed = True
        for number in (7, 8, 0):
            world.post(forum, 0, f"in {number}", topic=number)
        world.post(source, 0, "other")
        session = harness.session(
            account,
            (f"{forum.marked}/7", to, "copy"),
            ((f"{forum.marked}/1", source), f"{forum.marked}/7", "forward"),
            ((f"{forum.marked}/8", f"{source.marked}/8"), f"{forum.marked}/9", "copy"),
        )
        await session.start()
        task = task_of(session)
        for rule in (1, 2):
            wanted = rule_replay.ReplayArguments(rule=rule, first=1, last=100)
            await rule_replay.run(task_of(session), wanted)
        assert texts(to) == ["in 7"]
        copies = [(it.text, it.topic) for it in forum.box.messages.values()][3:]
        assert copies == [("in 0", 7), ("other", 7)]
        found = await rule_test.run(task, rule_test.TestArguments(rule=2))
        assert found.works and found.chats[f"{forum.marked}/7"] == "forum / topic 7"
        found = await rule_test.run(task, rule_test.TestArguments(rule=3))
        assert not found.works
        assert list(found.chats.values()) == [
            "forum / topic 8 (closed)",
            "topic 8 is not there: it is no forum",
            "topic 9 is not there, or was deleted",
        ]
        await session.stop()

    run_scenario(scenario)


def run_of(session: HostedSession, task: int) -> Run:
    """Return a run as the executor makes it."""
    job = TaskJob(
        task_id=task,
        publication=1,
        session_id=1,
        attempt=1,
        timeout_seconds=60,
        input="{}",
        cursor="",
    )
    run = Run(
        job,
        f"task:{task}",
        rule_replay.KIND,
        queue="q",
        priority=0,
        node="w1",
        exports=Path("exports"),
        progressed=lambda *_: None,
        logged=lambda *_: None,
    )
    run.use(session)
    return run


@pytest.mark.parametrize("reason", [TaskOutcome.CANCELLED, TaskOutcome.MOVED])
def test_only_a_cancel_ends_what_the_session_does(reason: TaskOutcome) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *(f"old {it}" for it in range(80)))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 60.0)
        run = run_of(session, 1)
        run.task = asyncio.create_task(rule_replay.run(run, REPLAY))  # type: ignore[arg-type]
        backfills = session.forwarder.later.backfills
        await until(lambda: bool(backfills))
        with pytest.raises(SnoozeError, match="task 1"):
            await rule_replay.run(run_of(session, 2), REPLAY)
        run.stop(reason)
        await asyncio.wait({run.task})
        assert bool(backfills) is (reason is TaskOutcome.MOVED)
        await run_of(session, 1).end_backfill()
        session.forwarder.renew_routes({}, {})
        with pytest.raises(TryAgainError, match="rule list"):
            await rule_replay.run(run_of(session, 2), REPLAY)
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_album", [False, True], ids=["singly", "as an album"])
def test_protected_files_are_uploaded_anew_as_they_are_live(is_album: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        more = {"grouped": 5} if is_album else {}
        for data in (b"one", b"two"):
            publish(sandbox, source, data.decode(), photo(sandbox, data), **more)
        say(sandbox, source, "a text")
        await session.start()
        done = await rule_replay.run(task_of(session), REPLAY)
        assert (done.copied, done.refused) == (3, 0)
        assert texts(to) == ["one", "two", "a text"]
        files = [it.media for it in to.box.messages.values()]
        theirs = [it.media for it in source.box.messages.values()]
        assert files[0] and files[1] and not files[2]
        assert not {it.id for it in files[:2]} & {it.id for it in theirs[:2]}
        await session.stop()

    run_scenario(scenario)


def test_topics_are_made_as_they_are_live() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        source = world.add_channel("source", forum=True, members=[account.id])
        to = world.add_channel("to", forum=True, creator=account.id, members=[account.id])
        old = make(sandbox, source, "Old")
        put(sandbox, source, "in Old", old)
        put(sandbox, source, "in General")
        session = SessionHarness(sandbox).session(
            account, (source, to, "copy", {"sync": ("topics",)})
        )
        await session.start()
        done = await rule_replay.run(task_of(session), REPLAY)
        assert done.refused == 0
        assert shown(to) == [("Old", "in Old"), ("General", "in General")]
        await session.stop()

    run_scenario(scenario)
