"""Sends without an answer are repeated, and make one copy each."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.telegram import client

SEND = "messages.sendMessage"
FORWARD = "messages.forwardMessages"


def test_a_send_that_is_still_running_is_asked_for_again_until_its_id_is_known() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.SLOW, method=SEND, seconds=1.5))
        say(sandbox, source, "one")
        await until(lambda: account.sending)
        sandbox.server.connections.drop(account.id)
        links: list[int] = []

        def is_linked() -> bool:
            links.extend(it.copy for it in session.collect_uncommitted().links)
            return bool(links)

        await until(is_linked)
        assert (texts(to), links) == (["one"], [1])
        await session.stop()

    run_scenario(scenario)


def test_sends_behind_a_slow_one_wait_for_it_and_keep_their_order() -> None:
    """Telegram answers them with MSG_WAIT_TIMEOUT after half a second."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.script.add(
            ScriptedFault(FaultKind.SLOW, method=SEND, seconds=1.2, skip=1)
        )
        wanted = [f"message {number}" for number in range(5)]
        say(sandbox, source, *wanted)
        await until(lambda: len(texts(to)) >= 5)
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("kind", [FaultKind.FAIL_AFTER, FaultKind.NO_ANSWER])
def test_a_send_that_was_made_without_an_answer_is_not_doubled(
    kind: FaultKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        monkeypatch.setattr(client, "REQUEST_SECONDS", 0.5)
        sandbox.server.faults.script.add(ScriptedFault(kind, 500, "INTERDC_2_CALL", method=SEND))
        say(sandbox, source, "one", "two")
        await until(lambda: harness.commit(session).get(f"channel:{source.id}") == "3")
        assert texts(to) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)


def test_a_forward_that_skips_a_message_reports_it_and_links_the_others() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        refuse = ScriptedFault(FaultKind.REFUSE, 420, "FLOOD_WAIT_1", method=FORWARD)
        sandbox.server.faults.script.add(refuse)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: not sandbox.server.faults.script)
        sandbox.server.world.delete(source.box, [2])
        copies: dict[int, int] = {}

        def are_linked() -> bool:
            links = session.collect_uncommitted().links
            copies.update((it.delivery.message, it.copy) for it in links)
            return len(copies) == 2

        await until(are_linked)
        assert (texts(to), copies) == (["one", "three"], {1: 1, 3: 2})
        assert any("message 2" in it for it in harness.troubles)
        await session.stop()

    run_scenario(scenario)


def test_a_parked_send_to_a_chat_of_a_loop_whose_answer_is_lost_goes_round_no_loop() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, there, back = one_rule(sandbox)
        there.posters.add(account.id)
        account.dialogs[back.marked] = None
        script = sandbox.server.faults.script
        closed = ScriptedFault(FaultKind.REFUSE, 403, "CHAT_WRITE_FORBIDDEN", method=SEND)
        script.add(closed)
        session = harness.session(account, (there, back, "copy"), (back, there, "copy"))
        await session.start()
        say(sandbox, there, "one")
        await until(lambda: session.forwarder.outboxes.has(back.marked))
        box = session.reader.channels[there.id]
        await until(lambda: box.cursor == there.box.pts)
        script.add(ScriptedFault(FaultKind.NO_ANSWER, method=SEND))
        session.forwarder.try_again(back.marked)
        await until(lambda: texts(back) == ["one"])
        sandbox.server.connections.drop(account.id)
        say(sandbox, there, "two")
        say(sandbox, back, "three")
        await until(lambda: len(texts(back)) == 3 and "three" in texts(there))
        await until(lambda: session.reader.channels[back.id].cursor == back.box.pts)
        assert sorted(texts(there)) == ["one", "three", "two"]
        await session.stop()

    run_scenario(scenario)
