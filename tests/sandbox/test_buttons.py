"""Inline buttons are a bot's (api/bots/buttons)."""

from __future__ import annotations

import pytest
from support.raw import forward, input_peer, raw, text
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types


def test_a_bot_sends_buttons_and_an_edit_without_them_takes_them_away() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        bot, person = world.add_bot(), world.add_account()
        chat = sandbox.channel(bot, person, posters=(bot, person))
        button = types.KeyboardInlineButton("More", types.InlineButtonTypeUrl("https://a.example/"))
        markup = types.ReplyInlineMarkup([types.KeyboardInlineButtonRow([button])])
        request = text(bot, chat, "one", 1)
        request.reply_markup = markup
        client = await sandbox.client(sandbox.login(bot))
        await raw(client, request)
        assert chat.box.messages[1].markup.rows[0].buttons[0].type.url == "https://a.example/"
        copies = {}
        for random_id, drop_author in ((2, None), (3, True)):
            it = forward(bot, chat, chat, [1], [random_id])
            it.drop_author = drop_author
            await raw(client, it)
            copies[drop_author] = chat.box.messages[random_id].markup
        assert copies[None] is not None and copies[True] is None
        edit = functions.messages.EditMessageRequest(input_peer(bot, chat), 1, message="one")
        await raw(client, edit)
        assert chat.box.messages[1].markup is None
        button.type.url = "no address"
        request.random_id = 4
        with pytest.raises(errors.ButtonUrlInvalidError):
            await raw(client, request)
        theirs = text(person, chat, "two", 5)
        theirs.reply_markup = markup
        with pytest.raises(errors.ReplyMarkupInvalidError):
            await raw(await sandbox.client(sandbox.login(person)), theirs)

    run_scenario(scenario)
