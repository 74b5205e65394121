"""How much of a node's time the regular expressions of rules may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from afx.forwarding import conditions, transforms

LARGEST_OF_SESSION = 6_000
"""Instructions of all regular expressions of a session: they run on the node's loop."""


def program_size(filter: Mapping[str, Any], transform: Sequence[Mapping[str, Any]]) -> int:
    """Return the instructions of a rule's regular expressions.

    0 for what this version cannot read, which is no rule that it uses.
    """
    try:
        return conditions.programs(filter) + transforms.programs(transform)
    except (ValueError, LookupError, TypeError):
        return 0
