"""The control channel of a sandbox, as labs and commands call it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types

from afx.sandbox.control.listener import ControlListener
from afx.sandbox.judge.verdict import Verdict


async def answers(sandbox: SandboxHarness, *lines: bytes) -> list[dict[str, Any]]:
    """Send lines to a control channel and return its answers."""
    control = ControlListener(sandbox.server)
    await control.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
        found = []
        for line in lines:
            writer.write(line + b"\n")
            found.append(json.loads(await reader.readline()))
        writer.close()
        return found
    finally:
        await control.stop()


def call(name: str, /, **arguments: Any) -> bytes:
    return json.dumps({"call": name, **arguments}).encode()


def test_what_is_posted_and_copied_by_hand_shows_in_the_verdict() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        [posted] = await answers(sandbox, call("post", chat=source.marked, text="hello"))
        await client(
            functions.messages.SendMessageRequest(
                types.InputPeerChannel(to.id, to.hash_for(account.id)), "hello", random_id=1
            )
        )
        [judged] = await answers(sandbox, call("judge"))
        verdict = Verdict.from_json(judged["ok"])
        assert posted == {"ok": 1}
        assert (verdict.posted, verdict.sent, verdict.expected) == (1, 1, 0)

    run_scenario(scenario)


def test_an_account_from_the_control_channel_can_sign_in() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        [made] = await answers(sandbox, call("provision", count=1, name="Alice"))
        [account] = made["ok"]
        client = await sandbox.client(account["login"])
        me = await client.get_me()
        assert (me.id, me.first_name) == (account["account"], "Alice")

    run_scenario(scenario)


def test_a_call_that_fails_is_answered_and_the_next_one_works() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        lines = [
            call("no_such_call"),
            call("post", chat=5, text="to an unknown account"),
            call("post", nonsense=1),
            b"no json",
            b"[]",
            call("progress"),
        ]
        *failed, good = await answers(sandbox, *lines)
        assert [list(it) for it in failed] == [["error"]] * 5
        assert good["ok"]["done"]

    run_scenario(scenario)


def test_faults_and_mischief_can_be_caused_and_ended() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        await sandbox.client(sandbox.login(account))
        faults = sandbox.server.faults
        caused = await answers(
            sandbox,
            call("fault", kind="refuse", message="TIMEOUT", method="updates.getState"),
            call("mischief", seed=4, omitted=0.5),
            call("budget", sends=1, seconds=5),
            call("forget_sessions"),
            call("rotate_salts"),
        )
        assert caused[0]["ok"][0]["message"] == "TIMEOUT"
        assert caused[1]["ok"]["omitted"] == 0.5
        assert [it["ok"] for it in caused[3:]] == [1, 1]
        assert faults.script and faults.dice.active and faults.budgets
        await answers(sandbox, call("no_faults"))
        assert not (faults.script or faults.dice.active or faults.budgets)
        [unknown] = await answers(sandbox, call("mischief", nonsense=1))
        assert "error" in unknown

    run_scenario(scenario)


def test_a_flow_without_chats_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        [refused] = await answers(sandbox, call("flow", chats=[], count=1, rate=1))
        assert "a flow needs chats" in refused["error"]

    run_scenario(scenario)


def test_what_is_changed_by_hand_is_pushed_recorded_and_judged() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        chat = source.marked
        found = await answers(
            sandbox,
            call("expect", routes=[[chat, to.marked, account.id]]),
            call("post", chat=chat, text="one"),
            call("post", chat=chat, text="two", reply_to=1),
            call("post", chat=to.marked, text="one", author=account.id),
            call("edit", chat=to.marked, message=1, text="other", account=account.id),
            call("delete", chat=chat, messages=[2, 9]),
            call("altered"),
            call("changes", after=1),
        )
        *_, deleted, altered, changes = [it["ok"] for it in found]
        assert deleted == 1
        [row] = altered
        assert (row["message"], row["copy"], row["fields"]) == (1, 1, ["text"])
        assert [(it["kind"], it["before"]) for it in changes] == [("delete", "two")]
        assert [it.kind for it in source.box.log] == ["new", "new", "delete"]

    run_scenario(scenario)


def test_a_private_message_is_changed_by_hand_on_both_sides() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        world.deliver(friend, friend, "the ids of the two differ")
        number = (
            await answers(sandbox, call("post", chat=friend.id, text="one", author=account.id))
        )[0]["ok"]
        both = {"chat": friend.id, "account": account.id}
        await answers(sandbox, call("edit", message=number, text="two", **both))
        assert list(friend.box.messages.values())[-1].text == "two"
        await answers(sandbox, call("delete", messages=[number], **both))
        assert len(friend.box.messages) == 1

    run_scenario(scenario)


def test_a_forum_can_be_made_by_hand() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        owner = sandbox.server.world.add_account()
        [made] = await answers(
            sandbox, call("channels", channels=[{"title": "t", "creator": owner.id, "forum": True}])
        )
        chat = made["ok"][0]["id"]
        [topic] = await answers(sandbox, call("topic", chat=chat, title="News"))
        await answers(
            sandbox,
            call("post", chat=chat, text="in it", author=owner.id, topic=topic["ok"]),
            call("close_topic", chat=chat, topic=topic["ok"]),
        )
        [forum] = sandbox.server.world.channels.values()
        assert forum.topics is not None and forum.topics[topic["ok"]].closed
        assert [it.topic for it in forum.box.messages.values()] == [0, topic["ok"]]
        [refused] = await answers(sandbox, call("topic", chat=owner.id, title="News"))
        assert "ok" not in refused

    run_scenario(scenario)


def test_what_clients_have_sent_and_what_a_channel_has_is_counted() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        await client.send_message(channel.marked, "one")
        posted, sent, count, unknown = await answers(
            sandbox,
            call("post", chat=channel.marked, text="two"),
            call("sent"),
            call("count", chat=channel.marked),
            call("count", chat=-1),
        )
        assert (posted["ok"], sent["ok"], count["ok"]) == (2, 1, 2)
        assert "error" in unknown

    run_scenario(scenario)


def test_a_file_made_by_formula_is_posted_and_recognised() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        channel = sandbox.channel(sandbox.server.world.add_account())
        found = await answers(
            sandbox,
            call("post_file", chat=channel.marked, text="", size=2_000_000_000),
            call("post_file", chat=channel.marked, text="", size=5_000, seed=2),
            call("same_files", chat=channel.marked, size=5_000, seed=2),
            call("same_files", chat=channel.marked, size=5_000, seed=3),
        )
        assert [it["ok"] for it in found] == [1, 2, 1, 0]

    run_scenario(scenario)
