"""The registry of kinds: one small file each.

To add a kind, write its file and list it here; the command line, the API and nodes read
this registry and nothing else.
"""

from __future__ import annotations

from afx.tasks.kinds import (
    chat_join,
    chat_leave,
    chat_resolve,
    message_broadcast,
    session_check,
    task_probe,
)
from afx.tasks.kinds.base import Kind

KINDS: dict[str, Kind] = {
    it.KIND.name: it.KIND
    for it in (
        session_check,
        chat_resolve,
        chat_join,
        chat_leave,
        message_broadcast,
        task_probe,
    )
}
