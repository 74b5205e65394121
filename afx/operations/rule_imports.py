"""Rules that are made of another forwarder's file."""

from __future__ import annotations

from collections.abc import Sequence

from afx.errors import ConflictError
from afx.forwarding import rule_docs
from afx.forwarding.foreign.documents import LARGEST_BYTES
from afx.forwarding.foreign.parts import Effect, Note
from afx.forwarding.foreign.reading import ORIGINS, Imported, Origin, read
from afx.forwarding.rule_docs import Change
from afx.operations.context import Context, operation

__all__ = ["LARGEST_BYTES", "ORIGINS", "Effect", "Imported", "Note", "Origin", "read"]


@operation("rule:read", owned=True, database=False)
def convert(
    context: Context, data: bytes, where: str, session: str, origin: Origin | None = None
) -> Imported:
    """Return what another forwarder's file means as rules of a session; it is read only.

    Raises InputFileError with all errors of the file.
    """
    del context
    return read(data, where, session, origin)


def rule_file(imported: Imported) -> str:
    """Return the rules as a file that ``afx rule apply`` takes."""
    return "".join(rule_docs.dump(imported.rules))


def check_replaced(changes: Sequence[Change]) -> None:
    """Check that a plan gives no rule that is there already to other chats.

    Such a rule has the name of an imported one, and is as a rule of another file. Raises
    ConflictError.
    """
    found = [
        it.path
        for it in changes
        if it.before
        and it.after
        and (set(it.before.sources), set(it.before.destinations))
        != (set(it.after.sources), set(it.after.destinations))
    ]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ConflictError(
            f"Rule '{found[0]}'{more} would get other chats than it has; nothing was changed. "
            "Give --replace if the file is to replace it; else print the rule file, change the "
            "name there, and apply it with 'afx rule apply'."
        )
