"""The peer of bench forward-rules: forward_rules_peer.py LOGIN RULES, which are JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from telethon import TelegramClient, events
from telethon.sessions import StringSession

_FOOTER = "end"


async def _peer(login: str, made: list[dict[str, Any]]) -> None:
    """What a careful user of Telethon writes: one handler for each rule."""
    client = TelegramClient(StringSession(login), 1, "sandbox")
    await client.connect()
    await client.get_dialogs()

    def add(rule: dict[str, Any]) -> None:
        asks = rule["asks"]

        def takes(event: Any) -> bool:
            text = event.message.message
            return not asks or (asks in text.lower() and "spam" not in text.lower())

        @client.on(events.NewMessage(chats=rule["from"], func=takes))  # type: ignore[untyped-decorator]
        async def copy(event: Any) -> None:
            text = event.message.message
            if asks:
                text = text.replace("Acme Corp", "Emca").replace("ACME", "Emca") + f"\n{_FOOTER}"
            await asyncio.gather(*(client.send_message(it, text) for it in rule["to"]))

    for rule in made:
        add(rule)
    print("ready", flush=True)
    await client.run_until_disconnected()


if __name__ == "__main__":
    asyncio.run(_peer(sys.argv[1], json.loads(sys.argv[2])))
