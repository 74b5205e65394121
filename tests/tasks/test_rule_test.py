"""rule.test: what a rule does with a message that is there already."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import one_rule
from telethon.tl import types

from afx.cluster.reports import RESULT_LIMIT
from afx.cluster.specs import RuleSpec
from afx.sandbox.telegram.peers import Channel
from afx.tasks.kinds import rule_test
from afx.tasks.kinds.base import TaskFailedError
from afx.tasks.kinds.rule_test import TriedMessage


async def task_with(sandbox: SandboxHarness, account: Any, *rules: RuleSpec) -> Any:
    return SimpleNamespace(call=await sandbox.client(sandbox.login(account)), rules=rules)


def rule_of(source: Channel, to: Channel, **fields: Any) -> RuleSpec:
    return RuleSpec(1, (str(source.marked),), (str(to.marked),), "copy", **fields)


async def tried(task: Any, **arguments: Any) -> TriedMessage:
    found = await rule_test.run(task, rule_test.TestArguments(rule=1, **arguments))
    assert found.works and found.tried is not None
    return found.tried


def test_a_message_of_a_source_is_judged_and_its_copy_shown_if_asked() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        _, account, source, to = one_rule(sandbox)
        world = sandbox.server.world
        bold = [types.MessageEntityBold(0, 7)]
        world.post(source, 0, "Bitcoin falls", entities=bold)
        world.post(source, 0, "Hello")
        footer = {"footer": {"markdown": "[More]({link})"}}
        rule = rule_of(source, to, filter={"words": ["bitcoin"]}, transform=(footer,))
        task = await task_with(sandbox, account, rule)
        found = await tried(task, message=1)
        assert (found.forwards, found.changed, found.media) == (True, True, "text")
        assert found.decided == "words: bitcoin is true"
        assert (found.copy_text, found.entities) == ("", []), "it is stored"
        found = await tried(task, message=1, shows_copy=True)
        assert found.copy_text == "Bitcoin falls\nMore"
        assert found.entities == ["Bold: Bitcoin", "TextUrl: More"]
        found = await tried(task, message=2, shows_copy=True)
        assert (found.forwards, found.decided) == (False, "words: bitcoin is false")
        assert not found.copy_text
        assert not (await tried(task, message=3)).forwards
        assert (await rule_test.run(task, rule_test.TestArguments(rule=1))).tried is None

    run_scenario(scenario)


def test_of_several_sources_one_is_named() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        _, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        sandbox.server.world.post(other, 0, "one")
        sources = str(source.marked), str(other.marked)
        rule = RuleSpec(1, sources, (str(to.marked),), "copy")
        task = await task_with(sandbox, account, rule)
        for wrong in (None, "@nobody"):
            with pytest.raises(TaskFailedError, match=str(other.marked)):
                await tried(task, message=1, source=wrong)
        found = await tried(task, message=1, source=str(other.marked))
        assert (found.forwards, found.decided) == (True, "the rule has no filter")

    run_scenario(scenario)


def test_the_longest_copy_has_room_in_a_result() -> None:
    made = TriedMessage(
        forwards=True,
        decided="x" * 300,
        copy_text="中" * 4_096,
        entities=["😀" * 80] * 20,
    )
    assert len(made.model_dump_json().encode()) < RESULT_LIMIT
