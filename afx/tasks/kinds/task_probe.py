"""task.probe: does nothing, on any node; by it the way of a task is measured."""

from __future__ import annotations

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskFailedError, TaskRun


class ProbeArguments(Arguments):
    """How the probe ends."""

    seconds: float = Field(0.0, ge=0, le=3600)
    """How long it waits."""
    fails: bool = False


class ProbeResult(Result):
    """What a probe says."""

    waited: float


async def run(task: TaskRun, arguments: ProbeArguments) -> ProbeResult:
    """Wait, and succeed or fail."""
    if arguments.seconds:
        await task.sleep(arguments.seconds)
    if arguments.fails:
        raise TaskFailedError("The probe was asked to fail.")
    return ProbeResult(waited=arguments.seconds)


KIND = Kind(
    name="task.probe",
    summary="Do nothing, on any node, to measure how soon tasks run.",
    arguments=ProbeArguments,
    result=ProbeResult,
    run=run,
    idempotence=Idempotence.READS,
    needs_session=False,
    timeout_seconds=3700,
)
