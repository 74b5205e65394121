"""Inline buttons with links. Source: core.telegram.org/api/bots/buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.forwarding.pipeline import Delivery
from afx.telegram.client import AccountClient
from afx.telegram.errors import is_lost_login


def markup_of(delivery: Delivery) -> Any:
    """Return the buttons that a request is to bring; None for none."""
    if not delivery.buttons:
        return None
    rows = [
        types.KeyboardInlineButtonRow(
            [types.KeyboardInlineButton(text, types.InlineButtonTypeUrl(url)) for text, url in row]
        )
        for row in delivery.buttons
    ]
    return types.ReplyInlineMarkup(rows)


async def drop_buttons_of_people(client: AccountClient, batch: Sequence[Delivery]) -> None:
    """Take the buttons away unless the account is a bot: Telegram takes none of people.

    Raises telethon's errors when Telegram does not tell what the account is.
    """
    if not any(it.buttons for it in batch):
        return
    if client.is_bot is None:
        [me] = await client(functions.users.GetUsersRequest([types.InputUserSelf()]))
        client.is_bot = bool(me.bot)
    if not client.is_bot:
        for it in batch:
            it.buttons = ()


async def hindrance(client: AccountClient, batch: Sequence[Delivery]) -> errors.RPCError | None:
    """Prepare the buttons of a batch; returns why that cannot be done now.

    Raises ConnectionError, and the error that says that the login is lost.
    """
    try:
        await drop_buttons_of_people(client, batch)
    except errors.RPCError as error:
        if is_lost_login(error):
            raise
        return error
    return None
