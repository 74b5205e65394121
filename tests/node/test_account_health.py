"""What Telegram does to accounts, and how a node reports it: by a reason, with the answer."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon.tl import types

from afx.node.account_signs import freeze_text
from afx.node.session_runner import why_it_failed
from afx.reasons import FailureReason, TroubleReason


@pytest.mark.parametrize(
    ("health", "reason", "error"),
    [
        ("limited", TroubleReason.ACCOUNT_LIMITED, "PEER_FLOOD"),
        ("frozen", TroubleReason.ACCOUNT_FROZEN, "FROZEN_METHOD_INVALID"),
    ],
)
def test_an_account_that_may_not_send_waits_and_is_reported(
    health: str, reason: TroubleReason, error: str
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        account.health = health  # type: ignore[assignment]
        say(sandbox, source, "two")
        await until(lambda: harness.reasons)
        assert set(harness.reasons) == {reason}
        assert error in harness.troubles[0]
        if health == "frozen":
            await until(lambda: len(harness.troubles) == 2)
            assert "appeal at https://t.me/SpamBot?start=freeze" in harness.troubles[1]
        # It reads on, and nothing becomes a dead letter.
        assert session.client.is_connected()
        assert session.wait_left(to.marked) > 200
        harness.commit(session)
        assert not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_banned_account_is_told_from_a_lost_login() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        account.health = "banned"
        say(sandbox, source, "never copied")
        await until(lambda: harness.lost)
        failure = why_it_failed(harness.lost[0])
        assert failure.reason is FailureReason.ACCOUNT_BANNED
        assert failure.text == "USER_DEACTIVATED_BAN"
        await session.stop()

    run_scenario(scenario)


def test_a_chat_that_wants_stars_is_parked_alone_and_nothing_is_paid() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        paid = sandbox.channel(posters=(account,))
        paid.stars = 5
        session = harness.session(account, (source, paid, "copy"), (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"] and harness.rules.get(1))
        trouble = harness.rules[1]
        assert trouble is not None
        assert trouble.reason is TroubleReason.DESTINATION_CLOSED
        assert "ALLOW_PAYMENT_REQUIRED_5" in trouble.text
        assert "never pays" in trouble.text
        assert texts(paid) == []
        harness.commit(session)
        assert not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_what_is_no_date_and_no_link_of_telegram_is_not_shown() -> None:
    def config(**values: object) -> types.JsonObject:
        return types.JsonObject([types.JsonObjectValue(key, it) for key, it in values.items()])

    assert freeze_text(None) == ""
    assert freeze_text(config(freeze_appeal_url=types.JsonString("https://evil.example/"))) == ""
    assert freeze_text(config(freeze_until_date=types.JsonNumber(1e300))) == ""
    assert freeze_text(config(freeze_until_date=types.JsonNull())) == ""
    shown = freeze_text(
        config(
            freeze_until_date=types.JsonNumber(1_800_000_000.0),
            freeze_appeal_url=types.JsonString("https://t.me/x\x1b[31m"),
        )
    )
    assert shown == "it is deleted on 2027-01-15; appeal at https://t.me/x�[31m"
