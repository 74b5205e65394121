"""A replay makes the copies that live forwarding makes, and no others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.node.session import HostedSession
from afx.tasks.kinds import rule_replay


def task_of(session: HostedSession) -> Any:
    """Return a run of a task of a session, which keeps no progress."""

    async def nothing(*_: object) -> None:
        pass

    return SimpleNamespace(
        rules=session.spec.rules,
        call=session.client,
        cursor={},
        save=nothing,
        sleep=nothing,
        log=lambda _: None,
    )


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
        arguments = rule_replay.ReplayArguments(rule=1, first=1, last=100)
        done = await rule_replay.run(task_of(session), arguments)
        assert (done.copied, done.refused) == (4, 0)
        assert texts(to) == ["good photo\nx", "good live\nx", "good 1\nx", "good 3\nx"]
        await session.stop()

    run_scenario(scenario)
