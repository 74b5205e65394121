"""What becomes of the links in inline buttons."""

from __future__ import annotations

from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, texts
from telethon.tl import functions, types

from afx.errors import InputFileError
from afx.forwarding.buttons import with_links
from afx.forwarding.entities import Styled
from afx.forwarding.options import compile_options, sentences
from afx.forwarding.rulefile import parse
from afx.sandbox.judge.flow import edit
from afx.sandbox.telegram.peers import Channel
from afx.telegram.facts import rows_of


def markup(*rows: tuple[tuple[str, str], ...]) -> Any:
    return types.ReplyInlineMarkup(
        [
            types.KeyboardInlineButtonRow(
                [types.KeyboardInlineButton(a, types.InlineButtonTypeUrl(b)) for a, b in row]
            )
            for row in rows
        ]
    )


BUY = markup((("Buy 🛒", "https://a.example/"), ("More", "https://b.example/")))
ROWS = ((("Buy 🛒", "https://a.example/"), ("More", "https://b.example/")),)


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return message.id


def photo(sandbox: SandboxHarness) -> Any:
    return sandbox.server.world.files.add(b"p", is_photo=True)


def buttons(channel: Channel) -> list[Any]:
    return [
        rows_of(types.Message(1, None, None, "", reply_markup=it.markup)) for it in all_of(channel)
    ]


def all_of(channel: Channel) -> list[Any]:
    return list(channel.box.messages.values())


def rule(source: Channel, to: Channel, choice: str, **more: Any) -> tuple[Any, ...]:
    return (source, to, "copy", {"options": {"buttons": choice}, **more})


def of_bot(sandbox: SandboxHarness) -> tuple[SessionHarness, Any, Channel, Channel]:
    bot = sandbox.server.world.add_bot()
    source, to = sandbox.channel(bot), sandbox.channel(bot, posters=(bot,))
    return SessionHarness(sandbox), bot, source, to


def test_a_bot_keeps_buttons_with_links_on_texts_and_photos_and_in_edits() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = of_bot(sandbox)
        session = harness.session(bot, rule(source, to, "keep", sync=("edits",)))
        await session.start()
        first = put(sandbox, source, "buy", markup=BUY)
        put(sandbox, source, "a photo", media=photo(sandbox), markup=BUY)
        put(sandbox, source, "none")
        await until(lambda: texts(to) == ["buy", "a photo", "none"])
        assert buttons(to) == [ROWS, ROWS, ()]
        edit(sandbox.server, source.marked, 0, first, "buy now")
        await until(lambda: texts(to)[0] == "buy now")
        assert buttons(to) == [ROWS, ROWS, ()]
        await session.stop()
        harness.commit(session)
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)


def test_of_a_person_buttons_are_not_sent_and_messages_are() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, rule(source, to, "keep"))
        await session.start()
        put(sandbox, source, "buy", markup=BUY)
        put(sandbox, source, "a photo", media=photo(sandbox), markup=BUY)
        await until(lambda: texts(to) == ["buy", "a photo"])
        assert buttons(to) == [(), ()] and all_of(to)[1].media is not None
        await session.stop()
        harness.commit(session)
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)


def test_what_the_account_is_is_asked_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = of_bot(sandbox)
        session = harness.session(bot, rule(source, to, "keep"))
        await session.start()
        asked = RefusingHandler(
            monkeypatch,
            functions.users.GetUsersRequest,
            (500, "RPC_CALL_FAIL"),
            (420, "FLOOD_WAIT_1"),
        )
        put(sandbox, source, "one", markup=BUY)
        put(sandbox, source, "two", markup=BUY)
        await until(lambda: texts(to) == ["one", "two"])
        put(sandbox, source, "three", markup=BUY)
        await until(lambda: texts(to) == ["one", "two", "three"])
        assert buttons(to) == [ROWS] * 3 and len(asked.requests) == 3
        await session.stop()

    run_scenario(scenario)


def test_links_become_lines_below_the_text_also_in_edits() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        more: dict[str, Any] = {"transform": ({"footer": "x"},), "sync": ("edits",)}
        session = harness.session(account, rule(source, to, "text", **more))
        await session.start()
        first = put(sandbox, source, "😀 buy", markup=BUY, entities=[types.MessageEntityBold(3, 3)])
        put(sandbox, source, "", media=photo(sandbox), markup=BUY)
        put(sandbox, source, "none")
        await until(lambda: len(texts(to)) == 3)
        assert texts(to) == ["😀 buy\nx\n\nBuy 🛒\nMore", "x\n\nBuy 🛒\nMore", "none\nx"]
        assert [
            (type(it).__name__, it.offset, it.length, getattr(it, "url", ""))
            for it in all_of(to)[0].entities
        ] == [
            ("MessageEntityBold", 3, 3, ""),
            ("MessageEntityTextUrl", 10, 6, "https://a.example/"),
            ("MessageEntityTextUrl", 17, 4, "https://b.example/"),
        ]
        edit(sandbox.server, source.marked, 0, first, "sold")
        await until(lambda: texts(to)[0] == "sold\nx\n\nBuy 🛒\nMore")
        await session.stop()

    run_scenario(scenario)


def test_without_buttons_a_photo_is_sent_without_them_and_a_forward_stays_as_it_is() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        options = {"options": {"buttons": "text"}}
        session = harness.session(
            account, rule(source, to, "drop"), (source, other, "forward", options)
        )
        await session.start()
        put(sandbox, source, "a photo", media=photo(sandbox), markup=BUY)
        put(sandbox, source, "a text", markup=BUY)
        await until(lambda: len(texts(to)) == 2 == len(texts(other)))
        assert texts(to) == texts(other) == ["a photo", "a text"]
        assert buttons(to) == [(), ()] and buttons(other) == [ROWS, ROWS]
        await session.stop()

    run_scenario(scenario)


def link(offset: int, length: int, url: str) -> tuple[int, int, str]:
    return offset, length, url


def test_lines_that_do_not_fit_are_left_out() -> None:
    rows = ((("one", "u:1"), ("  two\n words ", "u:2")), (("", "u:3"),))
    assert with_links(Styled("", ()), rows, 100, link) == (
        "one\ntwo words\nu:3",
        ((0, 3, "u:1"), (4, 9, "u:2"), (14, 3, "u:3")),
    )
    assert with_links(Styled("text", ()), rows, 18, link).text == "text\n\none"
    assert with_links(Styled("text", ()), rows, 19, link).text == "text\n\none\ntwo words"
    assert with_links(Styled("text", ()), rows, 4, link) == Styled("text", ())


def test_only_buttons_with_links_count() -> None:
    callback = types.KeyboardInlineButton("press", types.InlineButtonTypeCallback(b""))
    reply = types.ReplyKeyboardHide()
    message = types.Message(1, None, None, "", reply_markup=reply)
    assert rows_of(message) == ()
    message.reply_markup = types.ReplyInlineMarkup([types.KeyboardInlineButtonRow([callback])])
    assert rows_of(message) == ()
    message.reply_markup = BUY
    assert rows_of(message) == ROWS


def test_the_option_is_one_of_three_words() -> None:
    for choice in ("keep", "text", "drop"):
        assert compile_options({"buttons": choice}).buttons == choice
        assert "uttons" in sentences({"buttons": choice})[0]
    with pytest.raises(ValueError, match="buttons"):
        compile_options({"buttons": "all"})
    text = "rules: [{session: a, name: b, from: -5, to: -6, options: {buttons: all}}]"
    with pytest.raises(InputFileError, match="none of keep, text, drop"):
        parse(text.encode(), "rules.yaml")
