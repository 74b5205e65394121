"""What an answer of Telegram's says about an account as a whole."""

from __future__ import annotations

from afx.reasons import TroubleReason
from afx.telegram.errors import is_frozen, is_limited


def account_trouble(name: str) -> TroubleReason:
    """Return the trouble of an account that may send nothing, by Telegram's name of the error."""
    if is_limited(name):
        return TroubleReason.ACCOUNT_LIMITED
    return TroubleReason.ACCOUNT_FROZEN if is_frozen(name) else TroubleReason.SEND_FAILED
