"""Jobs about sessions, by the names under which they lie in RQ.

A node runs them from its own registry, after it has verified their signature. A stock RQ
worker imports these functions instead: it must not be used on this cluster's queues.
"""

from __future__ import annotations

from typing import NoReturn


def start(**_envelope: object) -> NoReturn:
    """Order a node to start sessions."""
    _refuse()


def stop(**_envelope: object) -> NoReturn:
    """Order a node to stop sessions."""
    _refuse()


def renew(**_envelope: object) -> NoReturn:
    """Order a node to read the filters and transforms of sessions anew."""
    _refuse()


def wait(**_envelope: object) -> None:
    """Stand for a session in the overflow; no worker runs it.

    A stock worker that is pointed at the overflow does no harm: the session waits in
    SQL, and its job comes back.
    """


def _refuse() -> NoReturn:
    raise RuntimeError(
        "A stock RQ worker took an order from a node's queue; stop that worker "
        "and start nodes with 'afx worker start'."
    )
