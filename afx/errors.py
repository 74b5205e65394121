"""The errors that a person may meet.

    AfxError                 exit code 1
    ├── UsageError           2  the command or its input is wrong
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


class AfxError(Exception):
    """What happened, in one sentence, and what to do next."""

    exit_code = 1


class UsageError(AfxError):
    """The command or its input is wrong; nothing was changed."""

    exit_code = 2


class ConfigError(AfxError):
    """A setting is missing or contradicts another."""

    exit_code = 2


class UnreachableError(AfxError):
    """A server that afx needs does not answer."""

    exit_code = 3


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
