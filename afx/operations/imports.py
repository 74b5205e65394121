"""Many sessions from one file: CSV or JSON lines, a batch at a time.

An import that was interrupted is run again: sessions that exist, by name and login,
are skipped. A bad line is reported and does not affect others.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from afx.errors import ForbiddenError, UsageError, printable
from afx.operations import logins
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.sessions import check_vault
from afx.security.vault import Vault
from models.names import check_name
from models.storage import proxies, sessions, users
from models.storage.sessions import NewSession
from models.tables import User

COLUMNS = ("name", "user", "login", "file", "proxy", "device")
_LONGEST_LINE = 64 * 1024
_LONGEST_PROBLEM = 200
_BATCH = 500
Status = Literal["added", "present", "bad"]


@dataclass(slots=True, frozen=True)
class Line:
    """One line of an import file; ``problem`` says why it cannot be taken."""

    number: int
    name: str = ""
    user: str = ""
    login: str = ""
    proxy: str = ""
    """Through which alone it connects, by name."""
    device: str = ""
    """What it says of itself, as ``afx.devices`` writes it."""
    problem: str = ""


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of one line."""

    line: int
    name: str
    status: Status
    reason: str = ""


def read(path: Path, default_user: str = "") -> Iterator[Line]:
    """Yield the lines of an import file; by its name CSV (``.csv``) or JSON lines.

    CSV has a header with ``name`` and ``login`` or ``file`` (a ``.session``
    file in the directory of the import file, or below it), and ``user`` unless one is
    given; when one is given, no line may name another. ``proxy`` names a proxy,
    and ``device`` a JSON file of the device.
    Raises UsageError when the file or its header is wrong.
    """
    rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    try:
        for number, row in rows(path):
            yield row if isinstance(row, Line) else _line(number, row, path, default_user)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error


@operation("session:write", owned=True)
def run(
    context: Context,
    path: Path,
    *,
    user: str = "",
    on_batch: Callable[[list[Outcome]], None],
) -> Counter[str]:
    """Import a file; ``on_batch`` gets the outcomes of each batch when it is stored.

    Returns how many lines were ``added``, ``present`` and ``bad``.
    """
    check_vault(context.servers.vault())
    counts: Counter[str] = Counter()
    owners: dict[str, User] = {}
    seen_names: set[str] = set()
    seen_logins: set[str] = set()
    batch: list[Line] = []

    def store() -> None:
        outcomes = _store(context, batch, owners, seen_names, seen_logins, str(path))
        counts.update(it.status for it in outcomes)
        on_batch(outcomes)
        batch.clear()

    for line in read(path, user):
        batch.append(line)
        if len(batch) >= _BATCH:
            store()
    if batch:
        store()
    return counts


def _store(
    context: Context,
    batch: list[Line],
    owners: dict[str, User],
    seen_names: set[str],
    seen_logins: set[str],
    where: str,
) -> list[Outcome]:
    vault = context.servers.vault()
    prints = {it.number: logins.fingerprint(it.login) for it in batch if not it.problem}
    by_name, by_print = sessions.taken(
        [(it.name, prints[it.number]) for it in batch if not it.problem]
    )
    ways: dict[str, int] = {}
    outcomes: list[Outcome] = []
    fresh: dict[str, list[tuple[Line, str]]] = {}
    for it in batch:
        problem = (
            it.problem
            or _owner_problem(context, it.user, owners)
            or _server_problem(context, it.login)
            or _proxy_problem(context, it.proxy, ways)
        )
        mark = prints.get(it.number, "")
        if not problem and it.name in by_name and by_name[it.name] == mark:
            outcomes.append(Outcome(it.number, it.name, "present"))
            continue
        if not problem and (it.name in by_name or it.name in seen_names):
            problem = f"there is a session '{it.name}' already, with another login"
        if not problem and mark in by_print:
            problem = f"session '{by_print[mark]}' has this very login"
        if not problem and mark in seen_logins:
            problem = "the file has this very login before"
        if problem:
            outcomes.append(Outcome(it.number, it.name, "bad", problem))
            continue
        seen_names.add(it.name)
        seen_logins.add(mark)
        fresh.setdefault(it.user, []).append((it, mark))
        outcomes.append(Outcome(it.number, it.name, "added"))
    if fresh:
        with change(context, "session.import", where[:200]) as details:
            for owner, lines in fresh.items():
                sessions.create_many(owners[owner], _sealed(vault, lines, ways))
            details["names"] = [line.name for lines in fresh.values() for line, _ in lines]
    return outcomes


def _sealed(
    vault: Vault, lines: Sequence[tuple[Line, str]], ways: Mapping[str, int]
) -> list[NewSession]:
    """Return the new sessions of lines with their fingerprints, each login sealed for its id.

    ``ways`` are the ids of proxies.
    """
    return [
        NewSession(
            line.name,
            vault.seal(line.login, session_id=session_id),
            mark,
            session_id,
            proxy=ways.get(line.proxy),
            device=vault.seal_device(line.device, session_id=session_id) if line.device else "",
        )
        for session_id, (line, mark) in zip(sessions.reserve_ids(len(lines)), lines, strict=True)
    ]


def _owner_problem(context: Context, name: str, owners: dict[str, User]) -> str:
    if name not in owners:
        try:
            user = users.find(name)
            context.require_owner(user.name)
            owners[name] = user
        except (UsageError, ForbiddenError) as error:
            return str(error).rstrip(".")
    return ""


def _proxy_problem(context: Context, name: str, ways: dict[str, int]) -> str:
    """Return what is wrong with the proxy of a line; else its id is among the ways."""
    if name and name not in ways:
        try:
            context.require("proxy:read")
            ways[name] = int(proxies.find(name).id)
        except (UsageError, ForbiddenError) as error:
            return str(error).rstrip(".")
    return ""


def _server_problem(context: Context, login: str) -> str:
    try:
        logins.check_server(login, context.settings.login_servers)
    except UsageError as error:
        return str(error).rstrip(".")
    return ""


def _line(number: int, row: dict[str, Any], path: Path, default_user: str) -> Line:
    name = row.get("name") or ""
    try:
        unknown = [it for it in row if it not in COLUMNS]
        if unknown:
            raise UsageError(f"'{printable(str(unknown[0]))}' is not known; there is {COLUMNS}.")
        if any(not isinstance(it, str) for it in row.values() if it is not None):
            raise UsageError("All values are texts.")
        check_name("session", name)
        if bool(row.get("login")) == bool(row.get("file")):
            raise UsageError("Give either 'login' or 'file'.")
        user = _owner(row.get("user") or "", default_user)
        if row.get("login"):
            login = logins.check(row["login"])
        else:
            login = logins.from_file(_beside(path, row["file"]))
        file = row.get("device")
        device = logins.device_from_file(_beside(path, file)) if file else ""
        return Line(number, name, user, login, row.get("proxy") or "", device)
    except UsageError as error:
        return Line(
            number,
            printable(str(name)),
            problem=printable(str(error).rstrip("."), longest=_LONGEST_PROBLEM),
        )


def _owner(named: str, default_user: str) -> str:
    """Return the owner of a line: the list may not give a session to another user."""
    if named and default_user and named != default_user:
        raise UsageError(f"It names the user '{named}', but --user is '{default_user}'.")
    if not named and not default_user:
        raise UsageError("It has no 'user', and none is given with --user.")
    return named or default_user


def _beside(path: Path, name: str) -> Path:
    """Return a file that a list names, which lies in the list's directory or below it.

    Whoever writes the list must not be able to have other files read: also not over
    symbolic links.
    """
    directory = path.parent.resolve()
    try:
        found = (directory / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError("The path in 'file' cannot be followed.") from error
    if not found.is_relative_to(directory):
        raise UsageError("The path in 'file' leads out of the directory of the list.")
    return found


def _csv_rows(path: Path) -> Iterator[tuple[int, Line | dict[str, Any]]]:
    csv.field_size_limit(_LONGEST_LINE)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            header = reader.fieldnames or []
        except csv.Error as error:
            raise UsageError(f"{path}, line 1: no CSV ({error}).") from error
        if "name" not in header or not {"login", "file"} & set(header):
            raise UsageError(f"{path}, line 1: the header needs 'name', and 'login' or 'file'.")
        unknown = [it for it in header if it not in COLUMNS]
        if unknown or len(set(header)) < len(header):
            column = printable(str((unknown or header)[0]))
            raise UsageError(f"{path}, line 1: '{column}' is not known, or is there twice.")
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, Line(number, problem=f"no CSV: {error}")
                continue
            if None in row or any(it is None for it in row.values()):
                yield number, Line(number, problem="it has more or fewer fields than the header")
            else:
                yield number, row


def _json_rows(path: Path) -> Iterator[tuple[int, Line | dict[str, Any]]]:
    with path.open("rb") as file:
        number = 0
        while data := file.readline(_LONGEST_LINE + 1):
            number += 1
            if len(data) > _LONGEST_LINE:
                while data and not data.endswith(b"\n"):
                    data = file.readline(_LONGEST_LINE)
                yield number, Line(number, problem=f"it has more than {_LONGEST_LINE} bytes")
                continue
            if not data.strip():
                continue
            try:
                row = json.loads(data)
            except (ValueError, RecursionError):
                yield number, Line(number, problem="no JSON")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                yield number, Line(number, problem="no JSON object")
