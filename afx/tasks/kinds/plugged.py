"""What a replay does to its copies after the rule's transforms: plug-ins, and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from afx.tasks.kinds.base import TaskRun


class Plugged:
    """Makes the deliveries of one task ready to be sent, as a lane does."""

    def __init__(self, task: TaskRun, counts: dict[str, int]) -> None:
        """``counts`` gets what a plug-in refuses."""
        self._task = task
        self._counts = counts

    async def ready(self, batch: Sequence[Any]) -> list[Any]:
        """Return those of some deliveries that are to be sent, as their plug-ins have left them."""
        ready: list[Any] = []
        if any(it.plugins for it in batch):
            from afx.node.plugged import plugged

            left: list[Any] = [(it, None) for it in batch]  # nothing waits for them
            while left:
                decided, outcomes = await plugged(left, lambda _, text: self._task.log(text))
                left = left[len(decided) :]
                if not outcomes:
                    ready += [it for it, _ in decided]
                refused = sum(it.result == "refused" for it in outcomes)
                self._counts["refused"] += refused
        else:
            ready = list(batch)
        for it in ready:
            it.buttons = ()  # people cannot send any, and a bot replays nothing
        return ready
