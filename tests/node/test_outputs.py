"""Rules send to webhooks and files through lanes: in order, again after failures, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.following import settled
from support.receiver import Receiver, receiver, reply
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.cluster.messages import rule_stopped
from afx.cluster.reports import RuleStopped
from afx.forwarding.outputs import output_number
from afx.node import outputs as module
from afx.node.outputs import Outputs
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import delete, edit
from afx.security.login_servers import parse_networks
from afx.security.webhook_signature import verify
from afx.telegram.peers import Peers

SECRET = "whsec_of_1"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def use_outputs(harness: SessionHarness, directory: Path | str = "", allowed: str = "") -> None:
    harness.outputs = Outputs(
        directory=str(directory),
        networks=parse_networks(allowed or "127.0.0.0/8"),
        secrets=lambda session, _url: [f"whsec_of_{session}"],
        may_write=lambda: harness.may_write,
    )


def told(hook: Receiver) -> list[tuple[str, str]]:
    bodies = [json.loads(it.body) for it in hook.requests]
    return [(it["event"], it.get("text", "")) for it in bodies]


def in_file(path: Path) -> list[str]:
    return [json.loads(it)["text"] for it in path.read_text().splitlines()]


def test_a_webhook_gets_signed_messages_edits_and_deletes_in_order(hook: Receiver) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness)
        rule = (source, f"webhook:{hook.url}", "copy", {"sync": ("edits", "deletes", "pins")})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(hook.requests) == 3)
        edit(sandbox.server, source.marked, 0, 2, "zwei")
        await until(lambda: len(hook.requests) == 4)
        delete(sandbox.server, source.marked, 0, [1])
        await until(lambda: len(hook.requests) == 5)
        await session.stop()
        assert told(hook) == [
            ("message", "one"),
            ("message", "two"),
            ("message", "three"),
            ("edit", "zwei"),
            ("delete", ""),
        ]
        ids = [it.headers["afx-delivery"] for it in hook.requests]
        assert len(set(ids)) == 5 and ids[3].startswith(ids[1]) and ids[4].startswith(ids[0])
        for it in hook.requests:
            time = it.headers["afx-timestamp"]
            assert verify(SECRET, it.headers["afx-signature"], time, it.body, float(time))
        first: dict[str, Any] = json.loads(hook.requests[0].body)
        assert (first["source"], first["message"], first["media"]) == (source.marked, 1, "text")

    run_scenario(scenario)


def test_each_edit_is_an_event_also_when_it_says_in_the_same_second_what_one_before_it_said(
    hook: Receiver, tmp_path: Path
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness, str(tmp_path))
        to = (f"webhook:{hook.url}", "file:news.jsonl")
        rule = (source, to, "copy", {"sync": ("edits",)})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "a")
        await until(lambda: len(hook.requests) == 1)
        await settled(session, source)
        stored = harness.commit(session)
        written = tmp_path / "1" / "news.jsonl"
        for number, text in enumerate("bab", 2):
            edit(sandbox.server, source.marked, 0, 1, text)
            await until(lambda: len(hook.requests) == number)  # noqa: B023
            await until(lambda: len(written.read_text().splitlines()) == number)  # noqa: B023
        assert [it for _, it in told(hook)] == ["a", "b", "a", "b"]
        assert len({it.headers["afx-delivery"] for it in hook.requests}) == 4
        await session.stop()
        # Its difference brings the last edit again: it is the same event.
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        await settled(session, source)
        say(sandbox, source, "end")
        await until(lambda: told(hook)[-1] == ("message", "end"))
        assert len({it.headers["afx-delivery"] for it in hook.requests}) == 5
        await until(lambda: len(written.read_text().splitlines()) == 5)
        await session.stop()

    run_scenario(scenario)


def test_what_was_sent_before_a_crash_is_sent_again_under_the_same_id(hook: Receiver) -> None:
    """The node dies between the receiver's answer and the stored link."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness)
        rule = (source, f"webhook:{hook.url}", "copy")
        session = harness.session(account, rule)
        await session.start()
        stored = harness.commit(session)
        say(sandbox, source, "one", "two")
        await until(lambda: len(hook.requests) == 2)
        await session.stop()  # nothing of it is committed
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "three")
        await until(lambda: len(hook.requests) == 5)
        ids = [it.headers["afx-delivery"] for it in hook.requests]
        assert ids[:2] == ids[2:4] and told(hook)[4] == ("message", "three")
        await settled(session, source)
        await session.stop()
        stored = harness.commit(session)
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "four")
        await until(lambda: len(hook.requests) == 6)
        assert told(hook)[5] == ("message", "four")
        await session.stop()

    run_scenario(scenario)


def test_a_failing_webhook_keeps_its_order_and_a_refused_message_is_a_dead_letter(
    hook: Receiver,
) -> None:
    answers = iter([500, 204, 422])

    def answer(it: Any) -> None:
        reply(it, next(answers, 204))

    hook.answer = answer

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness)
        session = harness.session(account, (source, f"webhook:{hook.url}", "copy"))
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await settled(session, source)
        assert [text for _, text in told(hook)] == ["one", "one", "two", "three"]
        await session.stop()
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.reason, dead.messages) == (DeadReason.MESSAGE_REFUSED, (2,))
        assert dead.destination == output_number(f"webhook:{hook.url}")

    run_scenario(scenario)


def test_a_private_address_is_refused_and_the_output_counts_as_closed_at_last(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_FAILURES", 1)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        use_outputs(harness, allowed="10.0.0.0/8")
        session = harness.session(account, (source, (to, f"webhook:{hook.url}"), "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.rules.get(1) is not None)
        trouble = harness.rules[1]
        assert trouble is not None and trouble.reason is TroubleReason.DESTINATION_CLOSED
        assert "not public" in trouble.text and "webhook:" in trouble.text
        await settled(session, source)
        assert texts(to) == ["one"] and not hook.requests
        await session.stop()
        stored = harness.commit(session)
        assert any(it.startswith("outbox:") for it in stored) and not harness.dead
        use_outputs(harness)
        session = harness.session(
            account, (source, (to, f"webhook:{hook.url}"), "copy"), cursors=stored
        )
        await session.start()
        await until(lambda: told(hook) == [("message", "one")])
        await session.stop()

    run_scenario(scenario)


def test_a_file_has_each_message_once_through_crashes(tmp_path: Path) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        use_outputs(harness, tmp_path)
        rule = (source, (to, "file:news.jsonl", "rss:news.xml"), "copy")
        session = harness.session(account, rule)
        await session.start()
        stored = harness.commit(session)
        path = tmp_path / "1" / "news.jsonl"
        say(sandbox, source, "one", "two")
        await until(lambda: path.exists() and in_file(path) == ["one", "two"])
        await session.stop()  # nothing of it is committed
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "three")
        await settled(session, source)
        assert in_file(path) == ["one", "two", "three"] == texts(to)
        assert (tmp_path / "1" / "news.xml").read_text().count("<item>") == 3
        await session.stop()

    run_scenario(scenario)


def test_without_a_directory_a_rule_with_a_file_says_so() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        use_outputs(harness)
        session = harness.session(account, (source, (to, "file:news.jsonl"), "copy"))
        await session.start()
        trouble = session.rule_troubles[1]
        assert trouble.reason is TroubleReason.OUTPUT_UNAVAILABLE
        assert trouble.text == "file:news.jsonl"
        report = RuleStopped(
            node="n", incarnation="i", session_id=1, epoch=1, rule_id=1, reason=trouble.reason
        )
        assert "no 'output_directory'" in rule_stopped(report)
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_node_without_its_lease_tells_nobody(hook: Receiver) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness)
        session = harness.session(account, (source, f"webhook:{hook.url}", "copy"))
        await session.start()
        assert harness.outputs is not None
        harness.outputs.may_write = lambda: False
        say(sandbox, source, "one")
        lane = output_number(f"webhook:{hook.url}")
        await until(lambda: session.forwarder.lanes.get(lane) is not None)
        await session.stop()
        assert not hook.requests

    run_scenario(scenario)


def test_an_edit_of_a_message_that_was_left_out_is_told_to_nobody(hook: Receiver) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness)
        more = {"sync": ("edits", "deletes"), "filter": {"contains": ["news"]}}
        session = harness.session(account, (source, f"webhook:{hook.url}", "copy", more))
        await session.start()
        say(sandbox, source, "secret", "news")
        await until(lambda: len(hook.requests) == 1)
        edit(sandbox.server, source.marked, 0, 1, "more secret news")
        delete(sandbox.server, source.marked, 0, [1])
        say(sandbox, source, "other news")
        await until(lambda: len(hook.requests) == 2)
        await session.stop()
        assert told(hook) == [("message", "news"), ("message", "other news")]

    run_scenario(scenario)


def test_an_output_that_its_node_does_not_have_is_closed_and_what_is_for_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        use_outputs(harness, tmp_path)
        number = output_number("file:news.jsonl")
        session = harness.session(account, (source, "file:news.jsonl", "copy"))
        await session.start()
        monkeypatch.setattr(Peers, "output", lambda *_: None)
        say(sandbox, source, "one", "two")
        await settled(session, source)
        trouble = harness.rules[1]
        assert trouble is not None and "has no such output" in trouble.text
        assert session.forwarder.outboxes.of(number).count == 2
        monkeypatch.undo()
        session.forwarder.try_again(number)
        await until(lambda: not session.forwarder.outboxes.has(number))
        assert in_file(tmp_path / "1/news.jsonl") == ["one", "two"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)
