"""How much of a node's time the regular expressions of rules may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from afx.forwarding import conditions, transforms
from afx.forwarding.alerts import alert_programs

LARGEST_OF_SESSION = 6_000
"""Instructions of all regular expressions of a session: they run on the node's loop."""


def program_size(
    filter: Mapping[str, Any],
    transform: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any] | None = None,
) -> int:
    """Return the instructions of a rule's regular expressions.

    0 for what this version cannot read, which is no rule that it uses.
    """
    try:
        of_filter = conditions.programs(filter) + alert_programs(options or {})
        return of_filter + transforms.programs(transform)
    except (ValueError, LookupError, TypeError):
        return 0
