"""Copies follow their sources, whatever dies, is lost or has to wait in between."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from support.following import ALL, pin, pinned, settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.node import lane, lane_sender
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.telegram import sender


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.FAIL_AFTER])
def test_a_change_whose_answer_is_lost_is_made_again_to_the_same_effect(kind: FaultKind) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        for method in ("editMessage", "updatePinnedMessage"):
            fault = ScriptedFault(kind, 500, "INTERDC_2_CALL", method=f"messages.{method}")
            sandbox.server.faults.script.add(fault)
        sandbox.server.faults.script.add(
            ScriptedFault(kind, 500, "INTERDC_2_CALL", method="channels.deleteMessages")
        )
        edit(sandbox.server, source.marked, 0, 1, "uno")
        if kind is FaultKind.NO_ANSWER:
            await until(lambda: "uno" in texts(to))
            sandbox.server.connections.drop(account.id)
        pin(sandbox, source, 1)
        delete(sandbox.server, source.marked, 0, [2])
        if kind is FaultKind.NO_ANSWER:
            await until(lambda: pinned(to) == ["uno"])
            sandbox.server.connections.drop(account.id)
            await until(lambda: "two" not in texts(to))
            sandbox.server.connections.drop(account.id)
        await settled(session, source)
        assert [it for it in texts(to) if it] == ["uno", "three"] and pinned(to) == ["uno"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_copy_that_an_earlier_run_has_made_is_changed_as_its_source_has_been_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node died before it stored what it had sent; the random id gives the copy as it was."""
    monkeypatch.setattr(sender, "_SAME_CALL", timedelta(seconds=-1))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", ALL)
        session = harness.session(account, rule)
        await session.start()
        harness.commit(session)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        await session.stop()
        edit(sandbox.server, source.marked, 0, 1, "uno")
        session = harness.session(account, rule, cursors=harness.progress)
        session.pause()
        await session.start()
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        edit(sandbox.server, source.marked, 0, 2, "dos")
        delete(sandbox.server, source.marked, 0, [3])
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        session.resume()
        await settled(session, source)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert [it for it in texts(to) if it] == ["uno", "dos"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_node_that_dies_between_an_edit_and_its_copys_edit_leaves_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    """Nothing of the edit is committed: neither before it was sent, nor after."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", ALL)
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        await settled(session, source)
        harness.commit(session)
        if not is_answered:
            monkeypatch.setattr(lane_sender, "send_changes", _never)
        edit(sandbox.server, source.marked, 0, 1, "uno")
        delete(sandbox.server, source.marked, 0, [2])
        pin(sandbox, source, 3)
        if is_answered:
            await until(lambda: [it for it in texts(to) if it] == ["uno", "three"])
        else:
            await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        await session.stop()
        monkeypatch.undo()
        session = harness.session(account, rule, cursors=harness.progress)
        await session.start()
        say(sandbox, source, "four")
        await until(lambda: "four" in texts(to))
        await settled(session, source)
        assert [it for it in texts(to) if it] == ["uno", "three", "four"]
        assert pinned(to) == ["three"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


async def _never(*_: Any, **__: Any) -> Any:
    raise ConnectionError


@pytest.mark.parametrize("seed", range(2))
def test_copies_end_as_their_sources_whatever_happens_between(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Posts, edits, deletes and pins, with kills, lost connections, lost answers and waits."""
    chance = random.Random(seed)
    monkeypatch.setattr(lane, "_PARK_SECONDS", 0.1)
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.05)
    monkeypatch.setattr(lane_sender, "BATCH", 5)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", ALL)
        server = sandbox.server
        session = harness.session(account, rule)
        await session.start()
        harness.commit(session)
        deleted = False
        """A message was deleted since the last commit."""
        for step in range(40):
            alive = list(source.box.messages)
            for _ in range(chance.randrange(1, 6)):
                match chance.randrange(6) if alive else 0:
                    case 0 | 1:
                        say(sandbox, source, f"{step} {chance.random()}")
                    case 2 | 3:
                        edit(server, source.marked, 0, chance.choice(alive), f"e {chance.random()}")
                    case 4:
                        deleted = True
                        gone = alive.pop(chance.randrange(len(alive)))
                        delete(server, source.marked, 0, [gone])
                    case _:
                        number = chance.choice(alive)
                        pin(sandbox, source, number, not source.box.messages[number].pinned)
            match chance.randrange(10):
                case 0:
                    # A copy that has no link yet, and whose message is gone, nobody knows of.
                    server.faults.script.clear()
                    server.connections.drop(account.id)
                    if deleted:
                        await settled(session, source)
                        await until(lambda it=session: not it.forwarder.outboxes.has(to.marked))
                        harness.commit(session)
                    await session.stop()
                    session = harness.session(account, rule, cursors=dict(harness.progress))
                    await session.start()
                    await settled(session, source)
                    await until(lambda it=session: not it.forwarder.outboxes.has(to.marked))
                case 1:
                    server.connections.drop(account.id)
                case 2:
                    server.faults.add_flood(account.id, to.marked, chance.uniform(0.05, 0.3))
                case 3:
                    kind = chance.choice((FaultKind.NO_ANSWER, FaultKind.FAIL_AFTER))
                    server.faults.script.add(
                        ScriptedFault(kind, 500, "INTERDC_2_CALL", chat=to.marked)
                    )
                    if kind is FaultKind.NO_ANSWER:
                        await asyncio.sleep(0.02)
                        server.connections.drop(account.id)
                case 4 | 5:
                    harness.commit(session)
                    session.note_committed()
                    deleted = False
            await asyncio.sleep(chance.uniform(0, 0.02))
        server.faults.script.clear()
        server.connections.drop(account.id)

        def is_equal() -> bool:
            # The service messages of pins have no text.
            return sorted(it for it in texts(to) if it) == sorted(texts(source)) and sorted(
                pinned(to)
            ) == sorted(pinned(source))

        await until(is_equal)
        await session.stop()
        harness.commit(session)
        assert not [it for it in harness.dead if it.reason]

    run_scenario(scenario)
