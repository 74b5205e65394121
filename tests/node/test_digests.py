"""Messages that a rule collects are sent together, as they are by then."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.digests import DAILY, Bench, put, sent
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts

from afx.node import lane_sender
from afx.sandbox.judge.flow import delete, edit
from afx.security.vault import Vault


def test_what_is_collected_comes_as_one_message_as_it_is_by_then() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three", "four")
        edit(sandbox.server, it.source.marked, 0, 2, "two, corrected")
        delete(sandbox.server, it.source.marked, 0, [3])
        await settled(session, it.source)
        await asyncio.sleep(0)
        assert not texts(it.to)
        assert session.forwarder.later.next_due()
        await it.send(session)
        assert it.digests() == [["one", "two, corrected", "four"]]
        assert texts(it.to)[0].startswith("3 messages, ")
        say(sandbox, it.source, "five")
        await settled(session, it.source)
        await it.send(session)
        assert it.digests() == [["one", "two, corrected", "four"], ["five"]]
        await session.stop()
        it.harness.commit(session)
        assert not it.harness.dead and not it.harness.troubles

    run_scenario(scenario)


def test_an_entry_has_exact_entities_the_name_of_its_source_a_link_and_its_media() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, transform=({"replace": {"text": ["cap"], "with": "😀 cap"}},))
        session = await it.start()
        files = sandbox.server.world.files
        for name in ("a", "b"):
            media = files.add(name.encode(), is_photo=True)
            put(sandbox, it.source, "caption" if name == "a" else "", media=media, grouped=7)
        await settled(session, it.source)
        await it.send(session)
        [made] = it.to.box.messages.values()
        assert " [2 × photo]\n😀 caption" in made.text
        assert it.source.title in made.text
        assert made.media is None
        await session.stop()

    run_scenario(scenario)


def test_more_than_fits_into_one_message_comes_in_several_in_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        said = [f"{number} " + "x" * 240 for number in range(40)]
        say(sandbox, it.source, *said)
        await settled(session, it.source)
        await it.send(session)
        found = it.digests()
        assert len(found) == 3 and it.entries() == said
        assert all(len(text) <= 4_096 for text in texts(it.to))
        await session.stop()

    run_scenario(scenario)


def test_a_restart_a_move_and_a_flushed_redis_change_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        session = await it.restart(session)
        put(sandbox, it.source, "three")
        await settled(session, it.source)
        it.harness.commit(session)
        session.note_committed()
        it.harness.progress.clear()  # Redis has lost its data
        session.mark_all_dirty()
        session = await it.restart(session)
        assert not texts(it.to)
        await it.send(session)
        assert it.digests() == [["one", "two", "three"]]
        await session.stop()
        stored = it.harness.commit(session)
        assert not [name for name in stored if name.startswith(("outbox:", "later:"))]

    run_scenario(scenario)


def test_what_was_due_while_no_node_ran_comes_at_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one")
        await settled(session, it.source)
        await session.stop()
        stored = it.harness.commit(session)
        say(sandbox, it.source, "two")
        it.ahead = 90_000.0
        session = await it.start(stored)
        await until(lambda: it.entries() == ["one", "two"])
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("options", [{}, {"digest": {"every": 60}}, {"replies": False}])
def test_what_waits_comes_in_a_digest_at_once_or_at_the_new_time_when_the_option_changes(
    options: dict[str, Any],
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        [spec] = session.spec.rules
        session.renew([replace(spec, options=options)])
        if "digest" in options:
            assert session.forwarder.later.next_due() <= it.harness.clock.time() + 63
            it.ahead += 70
            session.forwarder.later._turn()
        await until(lambda: it.digests() == [["one", "two"]])
        await sent(session, it.to)
        if "digest" not in options:
            say(sandbox, it.source, "three")
            await until(lambda: texts(it.to)[-1] == "three")
        await session.stop()

    run_scenario(scenario)


def test_what_waits_when_the_option_comes_is_in_the_next_digest() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, options={"delay": 3_600})
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        [spec] = session.spec.rules
        session.renew([replace(spec, options=DAILY)])
        say(sandbox, it.source, "three", "four")
        await settled(session, it.source)
        await it.send(session)
        assert it.entries() == ["one", "two", "three", "four"]
        await session.stop()

    run_scenario(scenario)


def test_a_digest_that_waits_in_its_lane_follows_edits_and_deletes() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three")
        await settled(session, it.source)
        sandbox.server.faults.add_flood(it.account.id, it.to.marked, 1.0)
        it.pass_a_day(session)
        await until(lambda: bool(session.forwarder.digests._made))
        await until(lambda: session.forwarder.waits.left(it.to.marked) > 0)
        edit(sandbox.server, it.source.marked, 0, 1, "uno")
        delete(sandbox.server, it.source.marked, 0, [2])
        await settled(session, it.source)
        await sent(session, it.to)
        [[first, second, third]] = it.digests()
        assert (first, third) == ("uno", "three") and "two" not in second
        await session.stop()

    run_scenario(scenario)


def test_what_is_deleted_before_is_there_all_the_same_where_contents_are_kept() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, options={**DAILY, "snapshot": True})
        it.harness.sealer = Vault(["k" * 43])
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three")
        await settled(session, it.source)
        delete(sandbox.server, it.source.marked, 0, [2])
        session = await it.restart(session)
        await settled(session, it.source)
        await it.send(session)
        assert it.digests() == [["one", "two", "three"]]
        await session.stop()
        assert not [name for name in it.harness.commit(session) if name.startswith("snap:")]

    run_scenario(scenario)


def test_a_digest_that_is_refused_is_a_dead_letter_of_each_and_comes_when_it_is_retried() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        with pytest.MonkeyPatch.context() as patch:
            refuse(patch)
            it.pass_a_day(session)
            await sent(session, it.to)
        it.harness.commit(session)
        [dead] = it.harness.dead
        assert dead.messages == (1, 2)
        session.forwarder.revive(1, it.source.marked, it.to.marked, [1, 2])
        await until(lambda: it.digests() == [["one", "two"]])
        await session.stop()

    run_scenario(scenario)


def refuse(patch: pytest.MonkeyPatch) -> None:
    from afx.telegram.sender import Outcome

    async def refused(_client: Any, batch: Any, _peer: Any, **_: Any) -> Any:
        return [Outcome("refused", reason="MESSAGE_EMPTY") for _ in batch]

    patch.setattr(lane_sender, "send", refused)


def test_a_copy_of_a_digest_is_deleted_in_time_and_not_changed_by_sync() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, sync=("edits", "deletes"), options={**DAILY, "auto_delete": 3_600})
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        it.pass_a_day(session)
        await until(lambda: bool(texts(it.to)))
        edit(sandbox.server, it.source.marked, 0, 1, "uno")
        delete(sandbox.server, it.source.marked, 0, [2])
        await settled(session, it.source)
        assert it.digests() == [["one", "two"]]
        it.ahead += 3_700
        session.forwarder.later._turn()
        await until(lambda: not texts(it.to))
        await session.stop()

    run_scenario(scenario)
