"""Jobs of tasks, by the names under which they lie in RQ.

A node runs a task's kind from its own registry, after it has verified the job's signature.
A stock RQ worker imports these functions instead: it must not be used on this cluster's
queues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Return a function that refuses, for each kind of task."""
    if name.startswith("_"):
        raise AttributeError(name)
    return _refuse


def _refuse(**_envelope: object) -> NoReturn:
    raise RuntimeError(
        "A stock RQ worker took a task; stop that worker and start nodes with 'afx worker start'."
    )
