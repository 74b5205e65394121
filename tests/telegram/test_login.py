"""Signing in: code, QR code, two steps, and what Telegram refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.sandbox import Town, play

from afx.errors import UnreachableError, UsageError
from afx.sandbox.telegram import srp
from afx.telegram.login import Server, Signed, sign_in

Answer = Callable[[str], str]


def at(place: Town) -> Server:
    server = place.server
    return Server(server.host, server.port, server.rsa.public_pem.decode())


def asker(answer: Answer) -> Callable[[str, bool], Awaitable[str]]:
    async def ask(question: str, secret: bool) -> str:
        assert secret == question.startswith("Password")
        return answer(question)

    return ask


async def by_phone(place: Town, answer: Answer, phone: str = "99966123") -> Signed:
    return await sign_in(api_id=1, api_hash="x", ask=asker(answer), phone=phone, server=at(place))


async def by_qr(place: Town, show: Callable[[str], None], answer: Answer) -> Signed:
    return await sign_in(api_id=1, api_hash="x", ask=asker(answer), show_qr=show, server=at(place))


async def works(place: Town, signed: Signed) -> int:
    client = await place.client(signed.login)
    return int((await client.get_me()).id)


def test_a_code_makes_a_login_that_works() -> None:
    async def story(place: Town) -> None:
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return "+999 661 23" if "Phone" in question else place.server.sign_ins.code("99966123")

        signed = await by_phone(place, answer, phone="")
        assert str(await works(place, signed)) in signed.account
        assert len(questions) == 2

    play(story)


def test_a_wrong_code_may_be_corrected_and_not_for_ever() -> None:
    async def story(place: Town) -> None:
        codes = iter(["", "abc", "right"])

        def answer(_: str) -> str:
            text = next(codes)
            return place.server.sign_ins.code("99966123") if text == "right" else text

        await by_phone(place, answer)
        with pytest.raises(UsageError, match="three times"):
            await by_phone(place, lambda _: "000000")

    play(story)


def test_the_password_of_the_second_step_is_asked_for_and_checked() -> None:
    async def story(place: Town) -> None:
        account = place.server.world.add_account("99966123")
        account.password = srp.verifier("pässword")
        words = iter(["wrong", "pässword"])

        def answer(question: str) -> str:
            if "Password" in question:
                return next(words)
            return place.server.sign_ins.code("99966123")

        assert await works(place, await by_phone(place, answer)) == account.id
        words = iter(["no"] * 3)
        with pytest.raises(UsageError, match="password was wrong three times"):
            await by_phone(place, answer)

    play(story)


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_scanned_qr_code_makes_a_login_that_works(password: str) -> None:
    async def story(place: Town) -> None:
        account = place.server.world.add_account("99966123")
        account.password = srp.verifier(password) if password else None

        def show(url: str) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(0.05, place.server.sign_ins.qr.scan, url, account.id)

        signed = await by_qr(place, show, lambda _: password)
        assert await works(place, signed) == account.id

    play(story)


def test_a_code_that_nobody_shows_is_not_scanned() -> None:
    async def story(place: Town) -> None:
        account = place.server.world.add_account("99966123")
        for url in ("", "nonsense", "tg://login?token=AAAA", "tg://login?token=%%%"):
            assert not place.server.sign_ins.qr.scan(url, account.id)

    play(story)


def test_refusals_are_sentences() -> None:
    async def story(place: Town) -> None:
        for phone in ("12", "no phone"):
            with pytest.raises(UsageError, match="phone number"):
                await by_phone(place, lambda _: "", phone=phone)
        gone = Server("127.0.0.1", 1, at(place).public_key)
        with pytest.raises(UnreachableError, match="does not answer"):
            await sign_in(api_id=1, api_hash="x", ask=asker(lambda _: ""), server=gone)

    play(story)
