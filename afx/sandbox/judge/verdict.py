"""The verdict: what the ledger counted, in one value that travels as JSON.

It imports nothing of the sandbox, so that labs, benchmarks and commands can
read a verdict without loading a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from afx.errors import SandboxError


@dataclass(slots=True, frozen=True)
class Latency:
    """Milliseconds from a source message to its copy; None when there is no copy yet."""

    p50: float | None = None
    p99: float | None = None


@dataclass(slots=True, frozen=True)
class Verdict:
    """The figures of all promised routes, and what was seen with or without them."""

    published: int = 0
    """Source messages of the promised routes; each counts once, however many routes read it."""
    expected: int = 0
    """Copies that the routes promise."""
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    altered: int = 0
    """Copies whose text, entities or media their source has never had."""
    wrong_replies: int = 0
    """Copies that do not reply to the copy of what their source replies to."""
    revoked: int = 0
    """Logins that were used on two connections at once."""
    outdated: int = 0
    """Copies that say what their source said before an edit."""
    undeleted: int = 0
    """Copies of source messages that were deleted."""
    strange: int = 0
    """What the accounts sent to promised destinations that is no copy; a copy that was sent
    with another text counts as strange, and its source as lost."""
    latency_ms: Latency = field(default_factory=Latency)
    posted: int = 0
    """All messages that were posted through the control channel, promised or not."""
    sent: int = 0
    """All messages that accounts sent or forwarded through a client."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, duplicated, out of order, altered or revoked.

        Whether copies follow edits and deletes is not promised: ``outdated`` and
        ``undeleted`` do not count.
        """
        return not self.damage

    @property
    def damage(self) -> int:
        """How much went wrong, all kinds together; 0 when the verdict is clean."""
        of_copies = self.lost + self.duplicated + self.out_of_order
        return of_copies + self.altered + self.wrong_replies + self.revoked

    def to_json(self) -> dict[str, Any]:
        """Return plain values, in the order of the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Read what ``to_json`` wrote; fields of a newer sandbox are left out.

        Raises SandboxError when a figure is missing or is not a count.
        """
        counts: dict[str, int] = {}
        for it in fields(cls):
            if it.name == "latency_ms":
                continue
            value = data.get(it.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise SandboxError(
                    f"The sandbox's verdict has no count '{it.name}'; "
                    "restart the sandbox with the version of afx that asks it."
                )
            counts[it.name] = value
        return cls(**counts, latency_ms=_latency(data.get("latency_ms")))


def _latency(data: Any) -> Latency:
    if not isinstance(data, Mapping):
        return Latency()
    figures = (data.get("p50"), data.get("p99"))
    return Latency(*(it if isinstance(it, int | float) else None for it in figures))
