"""The task rule.check: what an account can read and post to, seen by Telethon in the sandbox."""

from __future__ import annotations

from types import SimpleNamespace

from support.sandbox import SandboxHarness, run_scenario
from support.sessions import one_rule

from afx.tasks.kinds import KINDS
from afx.tasks.kinds.rule_check import RuleCheckArguments, RuleCheckResult
from afx.telegram.strangers import STRANGER


def test_what_an_account_cannot_do_is_told_for_each_chat() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        world = sandbox.server.world
        group = world.add_channel("group", megagroup=True, members=[account.id])
        mute = world.add_channel("mute", megagroup=True, members=[account.id])
        mute.muted.add(account.id)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        chats = [str(it.marked) for it in (source, to, group, mute)]
        arguments = RuleCheckArguments.model_validate(
            {"reads": [chats[0], "-1009999999999"], "posts": [*chats, "@nobody_knows"]}
        )
        task = SimpleNamespace(call=session.client)
        found = await KINDS["rule.check"].run(task, arguments)  # type: ignore[arg-type]
        assert isinstance(found, RuleCheckResult)
        assert found.problems == (
            "read -1009999999999: it does not know this chat",
            f"post to {chats[0]}: only admins who may post messages post there, and it is none",
            f"post to {chats[3]}: it was muted there",
            "post to @nobody_knows: it does not know this chat",
        )
        await session.stop()

    run_scenario(scenario)


def test_a_stranger_is_told_unless_the_rule_may_write_to_one() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account, person = (sandbox.server.world.add_account() for _ in range(2))
        task = SimpleNamespace(call=await sandbox.client(sandbox.login(account)))
        name = f"@{person.username}"
        for allowed, wanted in (((), (f"post to {name}: {STRANGER}",)), ((name,), ())):
            arguments = RuleCheckArguments(posts=(name,), to_strangers=allowed)
            found = await KINDS["rule.check"].run(task, arguments)  # type: ignore[arg-type]
            assert isinstance(found, RuleCheckResult)
            assert found.problems == wanted

    run_scenario(scenario)
