"""What users of other forwarders report does not happen here.

docs/from-other-forwarders.md has the list; each entry names the test that shows it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.node.dead_letters import DeadGroup
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import delete, edit, post

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/from-other-forwarders.md"
REPORTS = {
    *(f"tgcf#{it}" for it in (605, 30, 92, 176, 639, 96, 566, 578, 444, 291)),
    *(f"telemirror#{it}" for it in (44, 52, 77, 123)),
    *(f"Telethon#{it}" for it in (4345, 4194, 4462)),
}
SEND = functions.messages.SendMessageRequest


def listed() -> list[tuple[set[str], list[str]]]:
    """Return the reports of each line of the page's list, and the tests that it names."""
    part = PAGE.read_text().split("## What users of other forwarders report")[1]
    rows = re.findall(r"^\| (\w+ #.*?) \|.*\| (.*?) \|$", part, re.MULTILINE)
    return [
        (
            {f"{tool}#{it}" for tool, text in _tools(names) for it in re.findall(r"\d+", text)},
            re.findall(r"`([\w:]+)`", tests),
        )
        for names, tests in rows
    ]


def _tools(names: str) -> list[tuple[str, str]]:
    return re.findall(r"(tgcf|telemirror|Telethon)((?: #\d+,?)+)", names)


def test_each_report_is_listed_with_tests_that_exist() -> None:
    rows = listed()
    assert set.union(*(names for names, _ in rows)) >= REPORTS
    for names, tests in rows:
        assert tests, names
        for it in tests:
            module, name = it.split("::")
            found = [path.read_text() for path in TESTS.rglob(f"{module}.py")]
            assert any(f"def {name}(" in text for text in found), it


def test_a_hundred_messages_pass_flood_waits_whole_and_in_order() -> None:
    """tgcf #605, #92 (and #213, #317): the account was banned, or 60 of 100 were skipped."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        wanted = [f"message {it}" for it in range(100)]
        for number, text in enumerate(wanted):
            if number in (10, 60):
                await until(lambda count=number: len(texts(to)) == count)
                sandbox.server.faults.add_flood(account.id, to.marked, 1.0)
            say(sandbox, source, text)
        await until(lambda: len(texts(to)) >= 100)
        assert texts(to) == wanted
        assert not harness.dead and not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_nothing_is_asked_of_a_chat_before_its_flood_wait_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """tgcf #605: an account that goes on asking is banned."""
    asked = RefusingHandler(monkeypatch, SEND, (420, "FLOOD_WAIT_3600"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: asked.requests)
        await until(lambda: session.forwarder.waits.left(to.marked) > 3000)
        say(sandbox, source, *(f"more {it}" for it in range(50)))
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        session.poll()
        await until(lambda: session.reader.is_idle)
        assert len(asked.requests) == 1
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_what_a_protected_channel_forbids_is_a_dead_letter_and_holds_up_nothing(mode: str) -> None:
    """telemirror #44, #123: files of such channels are missing, and nobody is told."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        source.noforwards = True
        session = harness.session(account, (source, to, mode))
        await session.start()
        photo = sandbox.server.world.files.add(b"photo", is_photo=True)
        number = post(sandbox.server, source.marked, 0, "a photo", media=photo)
        say(sandbox, source, "a text")
        if mode == "copy":
            await until(lambda: texts(to) == ["a text"])
        last = 2 if mode == "forward" else 1
        await until(lambda: harness.commit(session) and _dead(harness.dead) >= last)
        assert {it.reason for it in harness.dead} == {DeadReason.MESSAGE_REFUSED}
        assert "CHAT_FORWARDS_RESTRICTED" in harness.troubles[0]
        assert f"message {number} " in harness.troubles[0]
        assert set(harness.reasons) == {TroubleReason.MESSAGE_REFUSED}
        await session.stop()

    run_scenario(scenario)


def _dead(groups: list[DeadGroup]) -> int:
    return sum(len(it.messages) for it in groups)


def test_edits_and_deletes_follow_messages_of_an_earlier_run() -> None:
    """tgcf #444, #291: what was copied before a restart is neither edited nor deleted."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"sync": ("edits", "deletes")})
        first = harness.session(account, rule)
        await first.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        await first.stop()
        harness.commit(first)
        second = harness.session(account, rule, cursors=harness.progress)
        await second.start()
        edit(sandbox.server, source.marked, 0, 1, "one, edited")
        delete(sandbox.server, source.marked, 0, [2])
        await until(lambda: texts(to) == ["one, edited", "three"])
        await second.stop()

    run_scenario(scenario)


def test_a_message_is_copied_once_though_its_update_comes_twice() -> None:
    """tgcf #309, #603: one message arrives twice."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        message, event = sandbox.server.world.post(source, 0, "one")
        for _ in range(3):
            sandbox.server.pushes.channel_event(source, event, message)
            await until(lambda: texts(to))
        sandbox.server.connections.drop(account.id)
        say(sandbox, source, "two")
        await until(lambda: len(texts(to)) >= 2)
        session.poll()
        await until(lambda: session.reader.is_idle)
        assert texts(to) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)
