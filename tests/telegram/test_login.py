"""Signing in: code, QR code, two steps, and what Telegram refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.fronts import EXIT, front_of
from support.sandbox import SandboxHarness, run_scenario

from afx.errors import UnreachableError, UsageError
from afx.proxies import ProxyKind
from afx.sandbox.telegram import srp
from afx.telegram.login import Server, Signed, sign_in, sign_out

Answer = Callable[[str], str]


def at(sandbox: SandboxHarness) -> Server:
    server = sandbox.server
    return Server(server.host, server.port, server.rsa.public_pem.decode())


def asker(answer: Answer) -> Callable[[str, bool], Awaitable[str]]:
    async def ask(question: str, secret: bool) -> str:
        assert secret == question.startswith("Password")
        return answer(question)

    return ask


async def by_phone(sandbox: SandboxHarness, answer: Answer, phone: str = "99966123") -> Signed:
    return await sign_in(api_id=1, api_hash="x", ask=asker(answer), phone=phone, server=at(sandbox))


async def by_qr(sandbox: SandboxHarness, show: Callable[[str], None], answer: Answer) -> Signed:
    return await sign_in(
        api_id=1, api_hash="x", ask=asker(answer), show_qr=show, server=at(sandbox)
    )


async def works(sandbox: SandboxHarness, signed: Signed) -> int:
    client = await sandbox.client(signed.login)
    return int((await client.get_me()).id)


def test_a_code_makes_a_login_that_works() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return (
                "+999 661 23" if "Phone" in question else sandbox.server.sign_ins.code("99966123")
            )

        signed = await by_phone(sandbox, answer, phone="")
        assert str(await works(sandbox, signed)) in signed.account
        assert len(questions) == 2

    run_scenario(scenario)


@pytest.mark.parametrize("kind", list(ProxyKind))
def test_a_sign_in_and_a_sign_out_go_through_the_proxy_and_no_other_way(kind: ProxyKind) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        peers: set[str] = set()
        opened = sandbox.server.connections.opened

        def note(connection: Any) -> None:
            peers.add(connection.peer)
            opened(connection)

        sandbox.server.connections.opened = note  # type: ignore[method-assign]
        async with front_of(sandbox, kind) as (front, proxy):
            signed = await sign_in(
                api_id=1,
                api_hash="x",
                ask=asker(lambda _: sandbox.server.sign_ins.code("99966123")),
                phone="99966123",
                server=at(sandbox),
                proxy=proxy,
            )
            await sign_out(signed.login, api_id=1, api_hash="x", server=at(sandbox), proxy=proxy)
            assert peers == {EXIT}
            await front.stop()
            with pytest.raises(UnreachableError, match="afx proxy check") as caught:
                await sign_in(
                    api_id=1,
                    api_hash="x",
                    ask=asker(lambda _: ""),
                    phone="99966123",
                    server=at(sandbox),
                    proxy=proxy,
                )
            assert proxy.host not in str(caught.value) and str(proxy.port) not in str(caught.value)
            assert peers == {EXIT}

    run_scenario(scenario)


def test_a_login_that_nobody_stores_can_be_ended() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        signed = await by_phone(sandbox, lambda _: sandbox.server.sign_ins.code("99966123"))
        await sign_out(signed.login, api_id=1, api_hash="x", server=at(sandbox))
        with pytest.raises(UnreachableError, match="not ended"):
            await sign_out(signed.login, api_id=1, api_hash="x", server=at(sandbox))

    run_scenario(scenario)


def test_a_wrong_code_may_be_corrected_and_not_for_ever() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        codes = iter(["", "abc", "right"])

        def answer(_: str) -> str:
            text = next(codes)
            return sandbox.server.sign_ins.code("99966123") if text == "right" else text

        await by_phone(sandbox, answer)
        with pytest.raises(UsageError, match="three times"):
            await by_phone(sandbox, lambda _: "000000")

    run_scenario(scenario)


def test_the_password_of_the_second_step_is_asked_for_and_checked() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account("99966123")
        account.password = srp.verifier("pässword")
        words = iter(["wrong", "pässword"])

        def answer(question: str) -> str:
            if "Password" in question:
                return next(words)
            return sandbox.server.sign_ins.code("99966123")

        assert await works(sandbox, await by_phone(sandbox, answer)) == account.id
        words = iter(["no"] * 3)
        with pytest.raises(UsageError, match="password was wrong three times"):
            await by_phone(sandbox, answer)

    run_scenario(scenario)


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_scanned_qr_code_makes_a_login_that_works(password: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account("99966123")
        account.password = srp.verifier(password) if password else None

        def show(url: str) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(0.05, sandbox.server.sign_ins.qr.scan, url, account.id)

        signed = await by_qr(sandbox, show, lambda _: password)
        assert await works(sandbox, signed) == account.id

    run_scenario(scenario)


def test_a_code_that_is_not_displayed_is_not_scanned() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account("99966123")
        for url in ("", "nonsense", "tg://login?token=AAAA", "tg://login?token=%%%"):
            assert not sandbox.server.sign_ins.qr.scan(url, account.id)

    run_scenario(scenario)


def test_refusals_are_sentences() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        for phone in ("12", "no phone"):
            with pytest.raises(UsageError, match="phone number"):
                await by_phone(sandbox, lambda _: "", phone=phone)
        gone = Server("127.0.0.1", 1, at(sandbox).public_key)
        with pytest.raises(UnreachableError, match="does not answer"):
            await sign_in(api_id=1, api_hash="x", ask=asker(lambda _: ""), server=gone)

    run_scenario(scenario)
