"""tgcf as a peer of bench forward-rules: forward_rules_tgcf.py LOGIN RULES, which are JSON.

It runs with a Python that has tgcf, in a directory of its own, and imports nothing of afx. tgcf
itself is unchanged; its client asks for its chats before it begins, as its users do by hand.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

_FOOTER = "\nend"


def _config(login: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what tgcf's page of settings would write: its plug-ins are the same for all rules."""
    asks = sorted({it["asks"] for it in rules} - {""})
    return {
        "login": {"API_ID": 1, "API_HASH": "sandbox", "user_type": 1, "SESSION_STRING": login},
        "forwards": [{"source": it["from"][0], "dest": it["to"]} for it in rules],
        "plugins": {
            "filter": {"check": bool(asks), "text": {"whitelist": asks, "blacklist": ["spam"]}},
            "replace": {"check": bool(asks), "text": {"Acme Corp": "Emca", "ACME": "Emca"}},
            "caption": {"check": bool(asks), "footer": _FOOTER},
        },
    }


async def _run() -> None:
    from tgcf import live  # type: ignore[import-not-found]

    class Client(live.TelegramClient):  # type: ignore[misc]
        async def start(self, **options: Any) -> Any:
            await super().start(**options)
            await self.get_dialogs()
            return self

        def run_until_disconnected(self) -> Any:
            print("ready", flush=True)
            return super().run_until_disconnected()

    live.TelegramClient = Client
    await live.start_sync()


if __name__ == "__main__":
    Path("tgcf.config.json").write_text(json.dumps(_config(sys.argv[1], json.loads(sys.argv[2]))))
    asyncio.run(_run())
