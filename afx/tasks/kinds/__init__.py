"""The registry of kinds: one small file each.

To add a kind, write its file and list it here; the command line, the API and nodes read
this registry and nothing else.
"""

from __future__ import annotations

from afx.tasks.kinds import (
    chat_backfill,
    chat_export,
    chat_join,
    chat_leave,
    chat_resolve,
    message_broadcast,
    rule_approve,
    rule_check,
    rule_replay,
    rule_retry,
    rule_test,
    session_check,
    session_recycle,
    task_probe,
)
from afx.tasks.kinds.base import Kind

KINDS: dict[str, Kind] = {
    it.KIND.name: it.KIND
    for it in (
        session_check,
        session_recycle,
        rule_test,
        rule_replay,
        rule_retry,
        rule_approve,
        rule_check,
        chat_export,
        chat_backfill,
        chat_resolve,
        chat_join,
        chat_leave,
        message_broadcast,
        task_probe,
    )
}
