"""The errors that a person may meet.

    AfxError                 exit code 1
    ├── UsageError           2  the command or its input is wrong
    │   ├── InputFileError   2  a file has errors; it lists all of them
    │   ├── NotFoundError    2  there is no such thing
    │   ├── ConflictError    2  it is there already, or under way already
    │   │   └── QuotaError   2  there would be too many of it
    │   └── ChangedError     2  it was changed since the caller read it
    ├── ForbiddenError       1  the actor may not do this
    ├── UnreachableError     3  Redis, the database or a node does not answer
    │   └── StorageError     1  the database answers and cannot do it: full, read-only, damaged
    ├── ConfigError          2  a setting is wrong
    ├── SecretError          1  the key is missing, or does not fit what is stored
    ├── SandboxError         1  the sandbox refused a request
    ├── OutputError          1  standard output is closed or full
    └── FencedError          1  this process lost its lease or its leadership

Each message says what happened and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def printable(text: str, *, longest: int | None = 100) -> str:
    """Return a text of unknown origin, fit to be printed in a sentence.

    It moves no cursor of a terminal, and has ``longest`` characters at most; None: as many
    as the text.
    """
    clean = "".join(it if it.isprintable() else "�" for it in text)
    return clean if longest is None or len(clean) <= longest else clean[: longest - 1] + "…"


class AfxError(Exception):
    """What happened, in one sentence, and what to do next."""

    exit_code = 1


class UsageError(AfxError):
    """The command or its input is wrong; nothing was changed."""

    exit_code = 2


class NotFoundError(UsageError):
    """There is no such thing, or not for this actor."""


class ConflictError(UsageError):
    """What exists, or is under way, does not allow it."""


class QuotaError(ConflictError):
    """Somebody would have more of something than is allowed."""


class ChangedError(UsageError):
    """It was changed since the caller read it; nothing was changed now."""


@dataclass(slots=True, frozen=True)
class FileProblem:
    """One error in a file that a person wrote; the message has no full stop."""

    message: str
    line: int | None = None
    column: int | None = None
    field: str | None = None


class InputFileError(UsageError):
    """A file has errors: ``problems`` lists all of them, by line."""

    MOST_SHOWN = 100

    def __init__(self, where: str, problems: Iterable[FileProblem]) -> None:
        self.where = where
        self.problems = tuple(sorted(problems, key=lambda it: it.line or 0))
        super().__init__(where, self.problems)

    def __str__(self) -> str:
        """Return how many errors there are, then each on a line of its own."""
        count = len(self.problems)
        lines = [f"{count} error{'' if count == 1 else 's'} in {self.where}; nothing was changed."]
        lines += [f"  {self._located(it)}." for it in self.problems[: self.MOST_SHOWN]]
        if count > self.MOST_SHOWN:
            lines.append(f"  … and {count - self.MOST_SHOWN} more.")
        return "\n".join(lines)

    def _located(self, problem: FileProblem) -> str:
        place = self.where
        if problem.line is not None:
            place += f", line {problem.line}"
        if problem.column is not None:
            place += f", column {problem.column}"
        if problem.field is not None:
            place += f", field '{problem.field}'"
        return f"{place}: {problem.message}"


class ConfigError(AfxError):
    """A setting is missing or contradicts another."""

    exit_code = 2


class ForbiddenError(AfxError):
    """The actor lacks the scope, or asks for what belongs to another user."""


class UnreachableError(AfxError):
    """A server that afx needs does not answer."""

    exit_code = 3


class NameTakenError(UnreachableError):
    """Another node of the cluster has the name."""


class StorageError(UnreachableError):
    """The database answers, and cannot do what was asked: its disk is full, it is
    read-only or damaged. Nothing was written; a process that waits for the database
    waits for this to end, too.
    """

    exit_code = 1


class OutputError(AfxError):
    """Standard output is closed or takes no more."""


class SecretError(AfxError):
    """A key is missing, or what is stored was made with another one."""


class SandboxError(AfxError):
    """The sandbox refused what it was asked."""


class FencedError(AfxError):
    """This process has been replaced and must stop."""
