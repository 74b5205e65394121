"""afx task."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import complete, groups, output, schedules, sort_options
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.tasks import TaskDetail

app = groups.group("Tasks: work that sessions do on request, once.")
app.add_typer(schedules.app, name="schedule")
TaskId = Annotated[int, typer.Argument(metavar="ID", help="As 'afx task list' shows it.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show it until it has finished.")]
_LARGEST_FILE = 256 * 1024
_INTERRUPTED = 130


@app.command()
@shared("database_url", "redis_url", "json", change=True, timeout=60.0)
def submit(
    invocation: Invocation,
    kind: Annotated[
        str, typer.Argument(help="As 'afx task kinds' shows it.", autocompletion=complete.kinds)
    ],
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg", metavar="NAME=VALUE", help="An argument; give a list's items singly."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Arguments as a JSON object; - for stdin.")
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session",
            metavar="NAME",
            help="For this session; repeat it.",
            autocompletion=complete.sessions,
        ),
    ] = None,
    user: Annotated[
        str,
        typer.Option("--user", help="For all sessions of a user.", autocompletion=complete.users),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="For all sessions.")] = False,
    priority: Annotated[
        str, typer.Option("--priority", help="premium, high, default or low [default: the kind's].")
    ] = "",
    unique: Annotated[
        str,
        typer.Option(
            "--unique", metavar="KEY", help="Refuse it while a task of this key has not finished."
        ),
    ] = "",
    newest: Annotated[
        bool, typer.Option("--newest", help="Replace the task of the same key that waits.")
    ] = False,
    delay: Annotated[
        float, typer.Option("--delay", min=0, help="Begin after so many seconds.")
    ] = 0.0,
    within: Annotated[
        float,
        typer.Option("--within", min=0, help="Cancel it if it has not started after so long."),
    ] = 0.0,
    follow: Follow = False,
) -> None:
    """Submit a task: for sessions, all sessions of a user, or all.

    Example:  afx task submit session.check --session main --wait
    """
    from afx.errors import UsageError
    from afx.operations import task_requests
    from afx.operations.task_requests import TaskRequest

    arguments = {**_from_file(file), **task_requests.parse_pairs(kind, arg or ())}
    if follow and not invocation.wait:
        raise UsageError("What is not waited for cannot be followed; leave out one of the two.")
    request = TaskRequest(
        kind=kind,
        arguments=arguments,
        sessions=tuple(session or ()),
        user=user,
        every_session=everything,
        priority=priority,
        unique_key=unique,
        keep_newest=newest,
        delay_seconds=delay,
        start_within_seconds=within,
    )
    submitted = task_requests.submit(invocation.context, request)
    if invocation.dry_run or not invocation.wait:
        if invocation.json:
            output.print_json({"tasks": list(submitted.ids), "batch": submitted.batch})
        else:
            several = f"{len(submitted.ids)} tasks, batch {submitted.batch}"
            one = f"task {submitted.ids[0]}"
            invocation.say(f"{several if submitted.batch else one}: {kind} is queued")
        return
    _wait(invocation, submitted.ids, follow=follow)


@app.command("list")
@shared("watch", "database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="Only of this kind.", autocompletion=complete.kinds),
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only in this state.")] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only of this session.", autocompletion=complete.sessions),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Only of this batch.")] = None,
    sort: sort_options.ById = "-id",
) -> None:
    """List tasks, the newest first.

    Example:  afx task list --state failed
    """
    from afx.operations import tasks

    invocation.print_list(
        lambda after, limit: tasks.listing(
            invocation.context,
            after=after,
            limit=limit,
            kind=kind,
            state=state,
            session=session,
            batch=batch,
            sort=sort,
        ),
        ("ID", "KIND", "STATE", "QUEUE", "SESSION", "NODE", "DONE", "TRIED", "AT", "ERROR"),
        lambda it: (
            it.id,
            it.kind,
            it.state,
            it.priority,
            it.session,
            it.worker,
            f"{it.progress:.0%}",
            it.attempts,
            it.created_at,
            it.error,
        ),
        empty=output.no("tasks", filtered=any((kind, state, session, batch))),
        by_id=True,
    )


@app.command()
@shared("database_url", "json", "timeout")
def show(invocation: Invocation, task_id: TaskId, follow: Follow = False) -> None:
    """Show one task: its arguments, how far it is, its result.

    Example:  afx task show 12 --follow
    """
    from afx.operations import tasks

    if follow:
        _wait(invocation, [task_id], follow=True)
    else:
        output.print_fields(
            _fields(tasks.show(invocation.context, task_id)), as_json=invocation.json
        )


@app.command()
@shared("database_url", "json")
def logs(invocation: Invocation, task_id: TaskId) -> None:
    """Show what happened to a task, step by step, and what it has logged.

    Example:  afx task logs 12
    """
    from afx.operations import tasks

    steps = tasks.steps(invocation.context, task_id)
    if invocation.json:
        output.print_json([output.to_plain(it) for it in steps])
    else:
        output.print_table(
            ("AT", "STEP", "TEXT"), [(it.at, it.step, it.text) for it in steps], empty=""
        )


@app.command()
@shared("database_url", change=True)
def retry(invocation: Invocation, task_id: TaskId) -> None:
    """Queue a failed or cancelled task again; it goes on where it was.

    Example:  afx task retry 12
    """
    from afx.operations import tasks

    invocation.say(tasks.retry(invocation.context, task_id))


@app.command()
@shared("database_url", change=True)
def cancel(
    invocation: Invocation,
    task_id: TaskId,
    batch: Annotated[
        bool, typer.Option("--batch", help="The number is a batch's: cancel the rest of it.")
    ] = False,
) -> None:
    """Cancel a task, also one that runs; what it has done stays.

    Example:  afx task cancel 12
    """
    from afx.operations import tasks

    if batch:
        count = tasks.cancel_batch(invocation.context, task_id)
        invocation.say(f"{count} tasks of batch {task_id} are cancelled")
    else:
        invocation.say(tasks.cancel(invocation.context, task_id))


@app.command()
@shared("database_url", change=True)
def pause(invocation: Invocation, task_id: TaskId) -> None:
    """Pause a task, also one that runs: it keeps its place until it is resumed.

    Example:  afx task pause 12
    """
    from afx.operations import tasks

    invocation.say(tasks.pause(invocation.context, task_id))


@app.command()
@shared("database_url", change=True)
def resume(invocation: Invocation, task_id: TaskId) -> None:
    """Resume a paused task: it goes on where it was.

    Example:  afx task resume 12
    """
    from afx.operations import tasks

    invocation.say(tasks.resume(invocation.context, task_id))


@app.command()
@shared("json")
def kinds(invocation: Invocation) -> None:
    """List the kinds of tasks, with their arguments.

    Example:  afx task kinds
    """
    from afx.operations import tasks

    found = tasks.kinds(invocation.context)
    if invocation.json:
        output.print_json([output.to_plain(it) for it in found])
        return
    output.print_table(
        ("KIND", "QUEUE", "TRIES", "TIME-OUT", "ARGUMENTS", "SUMMARY"),
        [
            (
                it.name,
                it.priority,
                it.max_attempts,
                f"{it.timeout_seconds} s",
                ", ".join(it.arguments.get("properties", {})),
                it.summary,
            )
            for it in found
        ],
        empty="",
    )


@app.command()
@shared("database_url", "json")
def times(
    invocation: Invocation,
    by: Annotated[str, typer.Option("--by", help="kind, node or tier.")] = "kind",
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="Of the last hours.")] = 24.0,
) -> None:
    """Show how long tasks waited and ran, and how many failed.

    Example:  afx task times --by node
    """
    from afx.operations import task_times

    rows = task_times.times(invocation.context, by, hours=hours)
    if invocation.json:
        output.print_json([asdict(it) for it in rows])
        return
    output.print_table(
        (by.upper(), "TASKS", "FAILED", "WAITED p50/p95/p99 s", "RAN p50/p95/p99 s"),
        [
            (
                it.name,
                it.count,
                it.failed,
                *(f"{p.p50:g} / {p.p95:g} / {p.p99:g}" for p in (it.waited, it.ran)),
            )
            for it in rows
        ],
        empty=output.no("tasks", filtered=True),
    )


def _from_file(path: Path | None) -> dict[str, Any]:
    import json

    from afx.errors import UsageError

    if path is None:
        return {}
    try:
        with contextlib.nullcontext(sys.stdin) if str(path) == "-" else path.open() as file:
            text = file.read(_LARGEST_FILE + 1)
        found = json.loads(text) if len(text) <= _LARGEST_FILE else None
    except OSError as error:
        raise UsageError(f"The file {path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The file {path} is not JSON; correct it.") from error
    if not isinstance(found, dict):
        raise UsageError(f"The file {path} is no JSON object of at most 256 KiB; correct it.")
    return found


def _wait(invocation: Invocation, ids: Sequence[int], *, follow: bool) -> None:
    """Wait until tasks have finished; exits 1 when all failed, 4 when some are not done."""
    from afx.operations import tasks

    found: tuple[TaskDetail, ...] = ()
    shown = ""
    beyond = 0
    try:
        for found in tasks.watch(invocation.context, ids, timeout=invocation.timeout):
            if follow:
                beyond = _print_log(invocation, ids, beyond)
            line = _line(found)
            if follow and line != shown and not sys.stderr.isatty():
                print(line, file=sys.stderr, flush=True)
            elif follow or len(ids) > 1:
                output.progress(line)
            shown = line
    except KeyboardInterrupt:
        output.progress_end()
        goes_on = (
            f"task {ids[0]} goes on: 'afx task show {ids[0]} --follow' shows it, and "
            f"'afx task cancel {ids[0]}' ends it."
            if len(ids) == 1
            else f"{len(ids)} tasks go on: 'afx task list' shows them, and 'afx task cancel ID' "
            "ends one."
        )
        print(f"\nafx: stopped waiting; {goes_on}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    output.progress_end()
    if invocation.json:
        plain = [_fields(it) for it in found]
        output.print_json(plain[0] if len(plain) == 1 else plain)
    elif len(found) == 1:
        output.print_fields(_fields(found[0]), as_json=False)
    else:
        output.print_table(
            ("ID", "SESSION", "STATE", "ERROR"),
            [(it.task.id, it.task.session, it.task.state, it.task.error) for it in found],
            empty="",
        )
    done = [it for it in found if it.task.state == "succeeded"]
    if len(done) < len(found):
        ended = all(it.task.state in ("failed", "cancelled") for it in found)
        raise typer.Exit(1 if ended else 4)


def _print_log(invocation: Invocation, ids: Sequence[int], beyond: int) -> int:
    """Print what tasks have logged after a line; returns the last line's number."""
    from afx.operations import tasks

    for it in tasks.log_lines(invocation.context, ids, beyond=beyond):
        output.progress_end()
        at = it.at.strftime("%H:%M:%S")
        print(f"{at} task {it.task}: {output.cell(it.text)}", file=sys.stderr, flush=True)
        beyond = it.id
    return beyond


def _line(found: Sequence[TaskDetail]) -> str:
    if len(found) == 1:
        it = found[0].task
        return f"task {it.id}: {it.state}, {it.progress:.0%}"
    finished = sum(it.task.state in ("succeeded", "failed", "cancelled") for it in found)
    return f"{finished} of {len(found)} tasks have finished"


def _fields(it: TaskDetail) -> dict[str, Any]:
    from afx.operations import tasks

    fields = asdict(it)
    if tasks.waits_for_session(it):
        fields["run_after"] = None
    return {**fields.pop("task"), **fields}
