"""How large the regular expressions of a session's rules may be together.

They run on a node's event loop, which it shares with other sessions. A node refuses the
rules that go beyond; it is told here, when the rule is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from afx.errors import UsageError
from models.storage import rules
from models.tables import Session


@contextmanager
def bounded(sessions: Sequence[Session]) -> Iterator[None]:
    """Undo the block when it makes the enabled rules of one of the sessions too large.

    Use it in a transaction. Sessions that were too large before may become smaller.
    """
    from afx.forwarding.sizes import LARGEST_OF_SESSION

    names = {it.id: it.name for it in sessions}
    before = _sizes(list(names))
    yield
    after = _sizes(list(names))
    for session, size in after.items():
        if size > LARGEST_OF_SESSION and size > before.get(session, 0):
            raise UsageError(
                f"The regular expressions of session '{names[session]}' would have {size:,} "
                f"instructions together, and at most {LARGEST_OF_SESSION:,} are allowed; use "
                "fewer or smaller repeats, or other conditions such as 'contains'."
            )


def _sizes(sessions: list[int]) -> dict[int, int]:
    from afx.forwarding.sizes import program_size

    found = rules.for_sessions(sessions)
    return {
        session: sum(program_size(it.filter, it.transform, it.options) for it in rows)
        for session, rows in found.items()
    }
