"""Changes of copies go through lanes and outboxes in order, and become dead letters as sends do."""

from __future__ import annotations

from typing import Any

import pytest
from support.following import ALL, pin, pinned, settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.node import lane_sender
from afx.reasons import DeadReason
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.methods import config
from afx.sandbox.telegram.methods.call import HANDLERS, Call
from afx.telegram.client import AccountClient

GET = functions.channels.GetMessagesRequest
SEND = functions.messages.SendMessageRequest
EDIT = functions.messages.EditMessageRequest
DELETE = functions.channels.DeleteMessagesRequest
PIN = functions.messages.UpdatePinnedMessageRequest


def test_what_is_not_copied_yet_is_sent_as_its_change_has_left_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_sender, "BATCH", 1)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        await until(lambda: session.reader.is_idle)  # what comes now comes live
        sandbox.server.faults.add_flood(account.id, to.marked, 0.5)
        edits = RefusingHandler(monkeypatch, EDIT)
        say(sandbox, source, "one", "two", "three", "four")
        edit(sandbox.server, source.marked, 0, 2, "dos")
        delete(sandbox.server, source.marked, 0, [3])
        edit(sandbox.server, source.marked, 0, 4, "cuatro")
        await until(lambda: texts(to) == ["one", "dos", "cuatro"])
        await settled(session, source)
        assert texts(to) == ["one", "dos", "cuatro"]
        assert not edits.requests, "they were folded into the copies"
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_changes_of_what_waits_in_an_outbox_follow_it_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", ALL)
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "zero")
        await until(lambda: texts(to) == ["zero"])
        sandbox.server.faults.add_flood(account.id, to.marked, 40)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        edit(sandbox.server, source.marked, 0, 1, "cero")
        edit(sandbox.server, source.marked, 0, 2, "uno")
        delete(sandbox.server, source.marked, 0, [3])
        pin(sandbox, source, 4)
        for _ in range(5):
            edit(sandbox.server, source.marked, 0, 2, "uno!")
        await settled(session, source)
        assert texts(to) == ["zero"]
        await session.stop()
        harness.commit(session)
        sandbox.server.faults.floods.clear()
        stored = {it: text for it, text in harness.progress.items() if it[:4] != "wait"}
        assert any(":e:" in it and ":p:" in it and ":d:" in it for it in stored.values())
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "last")
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await until(lambda: "last" in texts(to))
        assert [it for it in texts(to) if it] == ["cero", "uno!", "three", "last"]
        assert pinned(to) == ["three"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_an_edit_that_comes_while_an_outbox_is_read_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        rules = (source, to, "copy", ALL), (other, to, "copy", ALL)
        session = harness.session(account, *rules)
        await session.start()
        say(sandbox, source, "a")
        say(sandbox, other, "b")
        await until(lambda: len(texts(to)) == 2)
        sandbox.server.faults.add_flood(account.id, to.marked, 40)
        say(sandbox, source, "x")
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        edit(sandbox.server, source.marked, 0, 1, "a 1")
        edit(sandbox.server, other.marked, 0, 1, "b 1")
        await settled(session, source)
        await settled(session, other)
        await session.stop()
        harness.commit(session)
        sandbox.server.faults.floods.clear()
        stored = {it: text for it, text in harness.progress.items() if it[:4] != "wait"}
        read, reads = HANDLERS[GET], []

        def handle(call: Call, request: Any) -> Any:
            answer = read(call, request)
            if request.channel.channel_id == other.id and not reads:
                reads.append(request)
                edit(sandbox.server, source.marked, 0, 1, "a 2")  # its older text was read
            return answer

        monkeypatch.setitem(HANDLERS, GET, handle)
        session = harness.session(account, *rules, cursors=stored)
        await session.start()
        await until(lambda: "b 1" in texts(to) and "a 2" in texts(to))
        assert reads
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_change_without_effect_holds_up_none_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, *map(str, range(25)))
        await until(lambda: len(texts(to)) == 25)
        RefusingHandler(monkeypatch, EDIT, *[(400, "MESSAGE_NOT_MODIFIED")] * 24)
        run, sent = AccountClient.run_in_order, []

        async def recorded(
            client: AccountClient, requests: list[Any], **options: bool
        ) -> list[Any]:
            sent.extend(it for it in requests if isinstance(it, EDIT))
            return await run(client, requests, **options)

        monkeypatch.setattr(AccountClient, "run_in_order", recorded)
        session.pause()
        for number in range(1, 26):
            edit(sandbox.server, source.marked, 0, number, f"edit {number}")
        pin(sandbox, source, 25)
        delete(sandbox.server, source.marked, 0, [24, 25])
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        session.resume()
        await settled(session, source)
        assert len(sent) == 25, "none is made twice"
        assert len(texts(to)) >= 23 and not {"23", "24"} & set(texts(to))
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("method", "refusal", "reason"),
    [
        (EDIT, (400, "MESSAGE_EDIT_TIME_EXPIRED"), DeadReason.EDIT_REFUSED),
        (EDIT, (400, "CHAT_ADMIN_REQUIRED"), DeadReason.EDIT_REFUSED),
        (DELETE, (403, "MESSAGE_DELETE_FORBIDDEN"), DeadReason.DELETE_REFUSED),
        (PIN, (400, "CHAT_ADMIN_REQUIRED"), DeadReason.PIN_REFUSED),
    ],
)
def test_a_change_that_is_refused_is_a_dead_letter_that_a_retry_makes(
    monkeypatch: pytest.MonkeyPatch, method: type, refusal: tuple[int, str], reason: DeadReason
) -> None:
    # It is the server's to say for how long, and not ours.
    monkeypatch.setattr(config, "EDIT_SECONDS", 5 * 3_600)
    error = refusal[1] + (": it takes edits for 5 hours" if "EXPIRED" in refusal[1] else "")

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        RefusingHandler(monkeypatch, method, refusal)
        if method is EDIT:
            edit(sandbox.server, source.marked, 0, 1, "uno")
        elif method is DELETE:
            delete(sandbox.server, source.marked, 0, [1])
        else:
            pin(sandbox, source, 1)
        await settled(session, source)
        harness.commit(session)
        assert [(it.reason, it.error, it.messages) for it in harness.dead] == [
            (reason, error, (1,))
        ]
        say(sandbox, source, "two")
        await until(lambda: "two" in texts(to))
        await session.redeliver(1, source.marked, to.marked, [1], reason=reason)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        wanted = {EDIT: ["uno", "two"], DELETE: ["two"], PIN: ["one", "two"]}[method]
        assert [it for it in texts(to) if it] == wanted
        assert pinned(to) == (["one"] if method is PIN else [])
        await session.stop()

    run_scenario(scenario)


def test_an_edit_that_its_transforms_refuse_is_a_dead_letter_only_where_there_is_a_copy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        nothing_left = {"transform": ({"replace": {"text": ["bad"], "with": ""}},)}
        session = harness.session(account, (source, to, "copy", {**ALL, **nothing_left}))
        await session.start()
        say(sandbox, source, "bad", "good")
        await until(lambda: texts(to) == ["good"])
        edit(sandbox.server, source.marked, 0, 1, "badbad")
        edit(sandbox.server, source.marked, 0, 2, "bad")
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        assert [(it.reason, it.messages) for it in harness.dead] == [
            (DeadReason.MESSAGE_REFUSED, (1,)),
            (DeadReason.EDIT_REFUSED, (2,)),
        ]

    run_scenario(scenario)


def test_a_change_that_waited_while_its_rule_was_led_elsewhere_is_a_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: len(texts(to)) == 2)
        await settled(session, source)
        harness.commit(session)
        await session.stop()
        waiting = f"1:e:{source.marked}:1;1:d:{source.marked}:2-3"
        stored = {**harness.progress, f"outbox:{to.marked}:0": waiting}
        session = harness.session(account, (source, other, "copy", ALL), cursors=stored)
        await session.start()
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()
        harness.commit(session)
        told = "its rule does not forward there any more"
        assert [(it.reason, it.messages, it.error) for it in harness.dead] == [
            (DeadReason.EDIT_REFUSED, (1,), told),
            (DeadReason.DELETE_REFUSED, (2,), told),
        ], "the third has no copy"

    run_scenario(scenario)
