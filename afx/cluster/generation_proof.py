"""What shows that a generation of epochs was begun by a coordinator: its number, signed.

A spec contains the one of its term, and a node returns the newest it has read with what it
runs: when SQL and Redis have both lost a generation, its nodes prove that it has begun.
Whoever can write to Redis alone cannot say so of any other. A proof has an id beside the
number: after such a loss another term may begin a generation of the same number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

from afx.security.signing import SignatureError, SigningKeys

_CONTEXT = b"afx generation"
_FORM = re.compile(r"(([0-9]{1,7}) [0-9a-f]{32}) (\S{1,200})", re.ASCII)


def prove(
    keys: SigningKeys, generation: int, *, new_id: Callable[[], str] = lambda: uuid4().hex
) -> str:
    """Return the proof of a generation that has begun."""
    text = f"{generation} {new_id()}"
    return f"{text} {keys.sign(_CONTEXT, text.encode()).decode()}"


def claimed(proof: str) -> int:
    """Return the generation that a proof is of, without checking it; 0 when it is none."""
    form = _FORM.fullmatch(proof)
    return int(form[2]) if form else 0


def proved(keys: SigningKeys, proof: str) -> int:
    """Return the generation that was begun by a holder of the keys; 0 when that is not shown."""
    form = _FORM.fullmatch(proof)
    if form is None:
        return 0
    try:
        keys.verify(_CONTEXT, form[1].encode(), form[3].encode())
    except (SignatureError, UnicodeEncodeError):
        return 0
    return int(form[2])
