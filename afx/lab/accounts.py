"""The sessions of a lab, each with an account, two channels and a rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from telethon.sessions import StringSession

from afx.lab.links import BadLink
from afx.sandbox.client import SandboxClient
from afx.security.vault import Vault
from models.storage import rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession


def always_copy(_number: int) -> str:
    """Return the mode of a rule: each session copies."""
    return "copy"


def alternate_modes(number: int) -> str:
    """Return the mode of a rule: every second session forwards natively."""
    return "forward" if number % 2 else "copy"


@dataclass(slots=True, frozen=True)
class LabSession:
    """One session of the lab, its account and its chats."""

    id: int
    name: str
    account: int
    source: int
    destination: int


class LabAccounts:
    """Adds sessions to a lab's sandbox and database, and removes them at its end."""

    def __init__(self, sandbox: SandboxClient, vault: Vault) -> None:
        self.sessions: list[LabSession] = []
        self._sandbox = sandbox
        self._vault = vault
        self._owners: list[str] = []

    def add(
        self, count: int, *, mode: Callable[[int], str], tier: str, over: BadLink | None
    ) -> list[LabSession]:
        """Add sessions of one new owner; with ``over`` they reach Telegram by that link.

        ``mode`` gives the mode of a session's rule by the session's number.
        """
        accounts = self._sandbox.call("provision", count=count)
        channels = self._sandbox.call(
            "channels",
            channels=[
                channel
                for account in (it["account"] for it in accounts)
                for channel in (
                    {"title": f"source of {account}", "members": [account]},
                    {"title": f"copies of {account}", "posters": [account]},
                )
            ],
        )
        owner = users.create(f"lab {tier} {time.time_ns()}", tier)
        self._owners.append(owner.name)
        first = len(self.sessions)
        stamp = time.time_ns() % 10**9
        names = [f"s{number:05d}-{stamp}" for number in range(first, first + count)]
        reserved = sessions.reserve_ids(count)
        logins = [
            self._vault.seal(_reroute(it["login"], over), session_id=session_id)
            for it, session_id in zip(accounts, reserved, strict=True)
        ]
        ids = sessions.create_many(
            owner,
            [
                NewSession(name, login, id=session_id)
                for name, login, session_id in zip(names, logins, reserved, strict=True)
            ],
        )
        added = [
            LabSession(
                ids[i],
                names[i],
                accounts[i]["account"],
                channels[2 * i]["id"],
                channels[2 * i + 1]["id"],
            )
            for i in range(count)
        ]
        # No access hash of the rules' chats is stored: the node finds it in the
        # account's dialogs, as with a real account.
        rules.create_many(
            [
                NewRule(it.id, "copy", [str(it.source)], [str(it.destination)], mode(number))
                for number, it in enumerate(added, first)
            ]
        )
        self.sessions += added
        return added

    def remove_rows(self) -> None:
        """Leave a database that was lent to the lab as it was."""
        sessions.remove_many([it.id for it in self.sessions])
        for name in self._owners:
            users.remove(users.find(name))


def _reroute(login: str, link: BadLink | None) -> str:
    """Return a login whose data centre is reached over a link."""
    if link is None:
        return login
    session = StringSession(login)
    session.set_dc(session.dc_id, *link.address)
    return str(session.save())
