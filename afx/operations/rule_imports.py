"""Rules that are made of another forwarder's file."""

from __future__ import annotations

from afx.forwarding import rulefile
from afx.forwarding.foreign.documents import LARGEST_BYTES
from afx.forwarding.foreign.parts import Effect, Note
from afx.forwarding.foreign.reading import ORIGINS, Imported, Origin, read

__all__ = ["LARGEST_BYTES", "ORIGINS", "Effect", "Imported", "Note", "Origin", "read"]


def rule_file(imported: Imported) -> str:
    """Return the rules as a file that ``afx rule apply`` takes."""
    return "".join(rulefile.dump(imported.rules))
