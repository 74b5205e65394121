"""The Saved Messages of the account, which rules call ``me``."""

from __future__ import annotations

from support.raw import raw, text
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon.tl import functions, types

from afx.sandbox.telegram.peers import Account


def saved(account: Account) -> list[str]:
    return [it.text for it in account.box.messages.values() if it.chat == account.id]


def test_what_a_rule_sends_to_me_lies_in_the_saved_messages() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        session = harness.session(account, (source, "me", "copy", {"sync": ("edits",)}))
        await session.start()
        assert not session.rule_troubles
        assert session._stored.hashes["me"] == str(account.id)
        say(sandbox, source, "one", "two")
        await until(lambda: saved(account) == ["one", "two"])
        await session.stop()

    run_scenario(scenario)


def test_what_a_person_saves_is_copied_from_me() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        session = harness.session(account, ("me", to, "copy"))
        await session.start()
        phone = await sandbox.client(sandbox.login(account, 2))
        await raw(
            phone,
            functions.messages.SendMessageRequest(types.InputPeerSelf(), "a note", random_id=1),
        )
        await until(lambda: texts(to) == ["a note"])
        await session.stop()

    run_scenario(scenario)


def test_what_a_person_writes_in_a_private_chat_is_copied_as_what_the_other_one_writes() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        person, other = world.add_account(), world.add_account()
        to = sandbox.channel(posters=(person,))
        harness = SessionHarness(sandbox)
        # The copies of the way back are no messages of that person's.
        known = {"options": {"strangers": True}}
        rules = (f"@{other.username}", to, "copy"), (to, f"@{other.username}", "copy", known)
        session = harness.session(person, *rules)
        await session.start()
        phone = await sandbox.client(sandbox.login(person, 2))
        others = await sandbox.client(sandbox.login(other))
        await raw(phone, text(person, other, "mine", 1))
        await until(lambda: texts(to) == ["mine"])
        await raw(others, text(other, person, "theirs", 2))
        await until(lambda: texts(to) == ["mine", "theirs"])
        say(sandbox, to, "back")
        await until(lambda: [it.text for it in other.box.messages.values()][-1] == "back")
        assert texts(to) == ["mine", "theirs", "back"]
        await session.stop()

    run_scenario(scenario)
