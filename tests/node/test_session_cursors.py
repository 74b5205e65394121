"""A hosted session continues from its cursors, and fetches what it has missed."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.sandbox.strictness import Strictness


def test_messages_from_before_the_first_start_are_not_forwarded() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, "old")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "new")
        await until(lambda: texts(to))
        assert texts(to) == ["new"]
        await session.stop()

    run_scenario(scenario)


def test_a_later_start_continues_from_the_stored_cursor() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(sandbox, source, *missed)
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    run_scenario(scenario)


def test_another_login_of_the_account_continues_from_the_same_cursor() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        for key in sandbox.server.keys.values():
            key.revoked = True
        say(sandbox, source, "two")
        await until(lambda: harness.lost)
        await session.stop()
        say(sandbox, source, "three")
        cursors = harness.commit(session)
        again = harness.session(account, (source, to, "copy"), cursors=cursors, login=2)
        await again.start()
        await until(lambda: len(texts(to)) == 3)
        assert texts(to) == ["one", "two", "three"]
        await again.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_a_replay_from_an_old_cursor_doubles_nothing(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        old = harness.commit(session)
        said = [f"message {number}" for number in range(40)]
        say(sandbox, source, *said)
        await until(lambda: len(texts(to)) == 40)
        await session.stop()
        say(sandbox, source, "after the crash")
        again = harness.session(account, (source, to, mode), cursors=old)
        await again.start()
        await until(lambda: len(texts(to)) == 41)
        assert texts(to) == [*said, "after the crash"]
        copies: list[int] = []

        def rebuilt() -> bool:
            copies.extend(it.copy for it in again.collect_uncommitted().links)
            return len(copies) >= 41

        await until(rebuilt)
        assert copies == list(range(1, 42)), "links are rebuilt"
        await again.stop()

    run_scenario(scenario)


def test_a_cursor_that_telegram_finds_too_old_skips_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(sandbox, source, *missed)
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    run_scenario(scenario, log_limit=20)


def test_a_gap_longer_than_the_channel_s_history_is_filled_by_ranges_of_ids() -> None:
    """Strict history ends with the log: it gives 20 of 600 messages, the ids give all."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(600)]
        say(sandbox, source, *missed)
        sandbox.server.world.delete(source.box, [5, 300])
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 599)
        wanted = [it for it in missed if it not in ("missed 3", "missed 298")]
        assert texts(to) == ["one", *wanted]
        await again.stop()

    run_scenario(scenario, log_limit=20)


def test_a_channel_whose_dialog_has_no_pts_is_copied_from_now_on_and_across_gaps() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, "from before the rule")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to))
        await session.stop()
        missed = [f"missed {number}" for number in range(50)]
        say(sandbox, source, *missed)
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) >= 51)
        assert texts(to) == ["one", *missed]
        await again.stop()

    run_scenario(scenario, log_limit=20, rules=Strictness(dialogs_without_pts=True))


def test_a_difference_is_requested_with_a_date_and_later_with_the_stored_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = RefusingHandler(monkeypatch, functions.updates.GetDifferenceRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: differences.requests)
        await session.stop()
        date = int(harness.commit(session)["account"].split(":")[2])
        # The answer may be of the next second.
        assert date >= int(differences.requests[0].date.timestamp()) > 0
        cursors = {**harness.progress, "account": "1:0:1700000000"}
        again = harness.session(account, (source, to, "copy"), cursors=cursors)
        await again.start()
        await until(lambda: len(differences.requests) == 2)
        await again.stop()
        assert int(differences.requests[1].date.timestamp()) == 1_700_000_000

    run_scenario(scenario)


def test_a_stored_cursor_without_a_date_gets_a_date_and_keeps_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = RefusingHandler(monkeypatch, functions.updates.GetDifferenceRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"), cursors={"account": "1:0:0"})
        await session.start()
        await until(lambda: differences.requests)
        await session.stop()
        assert differences.requests[0].pts == 1
        assert differences.requests[0].date.timestamp() > 0

    run_scenario(scenario)


def test_more_missed_messages_than_fit_in_memory_are_worked_off_after_an_outage() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        sandbox.server.faults.refusing = True
        sandbox.server.connections.drop(account.id)
        wanted = [f"message {number}" for number in range(2_300)]
        say(sandbox, source, *wanted)
        sandbox.server.faults.refusing = False
        await until(lambda: len(texts(to)) >= len(wanted))
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)


def test_a_rule_that_is_added_again_does_not_begin_where_the_old_one_ended() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        for rules in (
            [(source, to, "copy"), (other, to, "copy")],
            [(other, to, "copy")],
            [(source, to, "copy"), (other, to, "copy")],
        ):
            session = harness.session(account, *rules, cursors=harness.progress)
            await session.start()
            if len(rules) == 1:
                say(sandbox, source, "while there was no rule")
            said = f"of {len(texts(to))}"
            say(sandbox, other, said)
            await until(lambda said=said: said in texts(to))
            if len(rules) == 2:
                news = f"news {len(texts(to))}"
                say(sandbox, source, news)
                await until(lambda news=news: news in texts(to))
            await session.stop()
            harness.commit(session)
        assert texts(to) == ["of 0", "news 1", "of 2", "of 3", "news 4"]

    run_scenario(scenario)
