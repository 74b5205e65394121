"""Copies follow their sources after moves, and after Redis has lost its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic

import redis as redis_module
from support.following import ALL, settled
from support.hosts import SESSION, HostBench, host_on
from support.links import read_bytes
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.cluster import keys
from afx.node.made_links import MadeLinks
from afx.sandbox.judge.flow import delete, edit


def test_what_is_changed_while_a_session_is_down_is_followed_when_it_is_back() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", ALL)
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: len(texts(to)) == 2)
        await session.stop()
        harness.commit(session)
        say(sandbox, source, "three", "four")
        edit(sandbox.server, source.marked, 0, 1, "uno")
        edit(sandbox.server, source.marked, 0, 3, "tres")
        delete(sandbox.server, source.marked, 0, [2, 4])
        session = harness.session(account, rule, cursors=harness.progress)
        await session.start()
        await until(lambda: texts(to) == ["uno", "tres"])
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_redis_that_has_lost_its_links_gets_them_back_before_an_edit_is_judged() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await settled(session, source)
        harness.commit(session)
        session.note_committed()
        session.forwarder.links = MadeLinks(harness.clock.monotonic)  # it was made long ago
        lost, harness.links.is_complete = harness.links._blocks, False
        harness.links._blocks = {}
        edit(sandbox.server, source.marked, 0, 1, "uno")
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        assert session.reader.channels[source.id].cursor < source.box.pts
        harness.links._blocks, harness.links.is_complete = lost, True
        await until(lambda: texts(to) == ["uno"])
        await session.stop()

    run_scenario(scenario)


def test_a_copy_made_just_before_redis_lost_its_data_is_followed() -> None:
    """The leader had not copied its link to SQL, and the node lives on."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await settled(session, source)
        harness.commit(session)
        session.note_committed()
        harness.links._blocks.clear()
        session.mark_all_dirty()
        harness.commit(session)
        session.note_committed()
        edit(sandbox.server, source.marked, 0, 1, "uno")
        await until(lambda: texts(to) == ["uno"])
        await session.stop()

    run_scenario(scenario)


def test_a_move_and_a_flushed_redis_keep_the_way_from_a_message_to_its_copy(
    redis_url: str, redis: redis_module.Redis, tmp_path: Path
) -> None:
    """Through Redis, which gets back what SQL has of the links, as the leader does it."""

    async def scenario(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, tmp_path) as host:
            bench = HostBench(sandbox, host, redis)
            source, to = bench.add_rule()
            bench._rules = (replace(bench._rules[0], sync=("edits",)),)
            redis.set(keys.LINKS_COMPLETE, 1)
            bench.assign(5)
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            say(sandbox, source, "one")
            await until(lambda: texts(to) == ["one"])
            await bench.stop(5)
            await until(lambda: ("stopped", 5) in bench.reported())
            edit(sandbox.server, source.marked, 0, 1, "two")
            await bench.start(6)
            await until(lambda: texts(to) == ["two"])
            await until(lambda: ("running", 6) in bench.reported())
            [name] = redis.keys("afx:links:1:*")
            block = read_bytes(redis, name)
            assert block
            redis.delete(name, keys.LINKS_COMPLETE)
            session = host._residents.session(SESSION)
            assert session is not None
            session.forwarder.links = MadeLinks(monotonic)  # it was made long ago
            edit(sandbox.server, source.marked, 0, 1, "three")
            box = session.reader.channels[source.id]
            await until(lambda: box.pts == source.box.pts and box.tickets)
            assert texts(to) == ["two"]
            redis.set(name, block)
            redis.set(keys.LINKS_COMPLETE, 1)
            await until(lambda: texts(to) == ["three"])

    run_scenario(scenario)
