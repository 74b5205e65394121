"""A session without rules asks how long its login lasts without use, and reports it."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule

from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.telegram.errors import is_lost_login

_METHOD = "account.getAuthorizations"


def test_a_session_without_rules_reports_how_long_its_login_lasts() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account = SessionHarness(sandbox), sandbox.server.world.add_account()
        account.login_days = 7
        session = harness.session(account)
        await session.start()
        await until(lambda: session.has_caught_up)
        assert harness.login_limits == [7]
        await session.stop()

    run_scenario(scenario)


def test_a_session_with_rules_does_not_ask() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: session.has_caught_up)
        assert harness.login_limits == []
        await session.stop()

    run_scenario(scenario)


def test_it_has_not_caught_up_before_that_is_answered() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account = SessionHarness(sandbox), sandbox.server.world.add_account()
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.NO_ANSWER, method=_METHOD))
        session = harness.session(account)
        await session.start()
        await until(lambda: session.reader.is_idle)
        assert not session.has_caught_up
        await session.stop()
        assert harness.login_limits == harness.lost == []

    run_scenario(scenario)


@pytest.mark.parametrize(("is_bot", "days"), [(True, 7), (False, 1_000_000)])
def test_what_telegram_does_not_say_or_is_not_credible_is_not_reported(
    is_bot: bool, days: int
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_bot() if is_bot else world.add_account()
        account.login_days = days
        harness = SessionHarness(sandbox)
        session = harness.session(account)
        await session.start()
        await until(lambda: session.has_caught_up)
        assert harness.login_limits == harness.lost == []
        await session.stop()

    run_scenario(scenario)


def test_a_login_that_has_ended_is_noticed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account = SessionHarness(sandbox), sandbox.server.world.add_account()
        session = harness.session(account)
        for login in sandbox.server.logins(account.id):
            login.used_at -= 86_400 * (account.login_days + 1)
        with pytest.raises(Exception) as caught:
            await session.start()
            await until(lambda: harness.lost)
            raise harness.lost[0]
        assert is_lost_login(caught.value)
        await session.stop()

    run_scenario(scenario)
