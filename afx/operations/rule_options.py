"""Whether options of rules agree with the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from afx.errors import UsageError, printable
from afx.forwarding.chat_names import ME, has_id
from afx.forwarding.outputs import is_output_text
from afx.forwarding.topics import chat_of
from afx.operations.context import Context
from models.storage import senders
from models.tables import Session

_DAY = 86_400
_LAST_CHANNEL = -1_000_000_000_000
"""Marked ids of channels and supergroups are lower."""


def check_life(context: Context, options: Mapping[str, Any]) -> None:
    """Check that copies are deleted while their links are known; raises UsageError.

    A copy without a link is found by nobody, and would stay.
    """
    life, days = options.get("auto_delete", 0), context.settings.link_days
    if life > days * _DAY:
        from afx.forwarding.forms import duration_text

        raise UsageError(
            f"Copies are to be deleted after {duration_text(life)} (auto_delete), and links to "
            f"them are kept for {days} days only (the setting link_days); nothing was changed. "
            "Give a shorter time, or keep links for longer on all coordinators and nodes."
        )


def check_senders(owner: Session, options: Mapping[str, Any], destinations: Sequence[str]) -> None:
    """Check that the senders of a rule of a session are its user's; raises UsageError.

    A session of another user is called unknown: nobody learns whose names are taken.
    """
    names = options.get("senders", ())
    if not names:
        return
    found = senders.named(names)
    for name in names:
        if name not in found or found[name].user_id != owner.user_id:
            raise UsageError(
                f"The user of session '{owner.name}' has no session '{printable(name)}' that could "
                "be a sender of the rule; nothing was changed. 'afx session list' shows the names."
            )
    for it in destinations:
        if is_output_text(it) or it == ME or (has_id(it) and int(chat_of(it)) > _LAST_CHANNEL):
            raise UsageError(
                f"A rule with senders posts to channels and supergroups only, and "
                f"'{printable(it)}' is none; nothing was changed."
            )
