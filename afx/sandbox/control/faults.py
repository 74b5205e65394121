"""Calls that cause faults."""

from __future__ import annotations

from afx.sandbox.control.calls import Sandbox, call


@call
def flood(sandbox: Sandbox, seconds: float, account: int = 0, chat: int = 0) -> bool:
    """Answer sends with FLOOD_WAIT for a time (0: any account, any chat)."""
    sandbox.server.faults.add_flood(account, chat, seconds)
    return True


@call
def drop(sandbox: Sandbox, account: int = 0) -> int:
    """Cut an account's connections (0: all); returns how many."""
    return sandbox.server.connections.drop(account)


@call
def delay(sandbox: Sandbox, seconds: float) -> float:
    """Delay every answer and push by so many seconds."""
    sandbox.server.faults.delay_seconds = seconds
    return seconds


@call
def refuse(sandbox: Sandbox, on: bool = True) -> bool:
    """Refuse new connections, or accept them again."""
    sandbox.server.faults.refusing = on
    return on
