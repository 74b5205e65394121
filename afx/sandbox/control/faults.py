"""Calls that cause faults."""

from __future__ import annotations

import time
from typing import Any

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.judge.faults import Budget
from afx.sandbox.mischief import Mischief
from afx.sandbox.scripted import FaultKind, ScriptedFault


@call
def flood(
    sandbox: Sandbox, seconds: float, account: int = 0, chat: int = 0, name: str = "FLOOD_WAIT"
) -> bool:
    """Answer sends with FLOOD_WAIT for a time (0: any account, any chat)."""
    sandbox.server.faults.add_flood(account, chat, seconds, name)
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


@call
def budget(sandbox: Sandbox, sends: int, seconds: float, account: int = 0, chat: int = 0) -> bool:
    """Allow so many sends in so many seconds (0: each account, all its chats together)."""
    sandbox.server.faults.budgets.append(Budget(account, chat, sends, seconds))
    return True


@call
def fault(sandbox: Sandbox, kind: str = "refuse", **values: Any) -> list[dict[str, Any]]:
    """Add a fault, given as the fields of ScriptedFault; returns what is to happen."""
    script = sandbox.server.faults.script
    script.add(ScriptedFault(FaultKind(kind), **values))
    return script.rows()


@call
def no_faults(sandbox: Sandbox) -> bool:
    """Remove all faults that were added, all floods and budgets, and end all mischief."""
    faults = sandbox.server.faults
    faults.script.clear()
    faults.floods.clear()
    faults.budgets.clear()
    faults.cause(Mischief())
    return True


@call
def mischief(sandbox: Sandbox, **shares: Any) -> dict[str, Any]:
    """Cause mischief, given as the fields of Mischief; without any, end it."""
    wanted = Mischief(**shares)
    sandbox.server.faults.cause(wanted)
    return wanted.to_json()


@call
def forget_sessions(sandbox: Sandbox, account: int = 0) -> int:
    """Forget MTProto sessions (0: of every account); returns how many."""
    return sandbox.server.connections.forget_sessions(account)


@call
def expire_files(sandbox: Sandbox) -> bool:
    """Let every file reference that was given out expire."""
    sandbox.server.world.files.expire()
    return True


@call
def rotate_salts(sandbox: Sandbox, account: int = 0) -> int:
    """Replace server salts (0: of every account); the old ones are refused at once."""
    keys = [it for it in sandbox.server.keys.values() if account in (0, it.account_id)]
    for key in keys:
        key.salts.rotate(time.monotonic(), accept_previous=False)
    return len(keys)
