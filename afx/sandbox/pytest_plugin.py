"""A pytest plugin: the fixture ``afx_sandbox`` is a Telegram of the test's own.

``pip install afx`` registers it (entry point ``pytest11``). It imports nothing of afx
before a test asks for the fixture. docs/sandbox.md has an example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from afx.sandbox.testing import LocalTelegram


@pytest.fixture(scope="session")
def _afx_sandbox_server() -> Iterator[LocalTelegram]:
    """One sandbox for all tests of a process, in a thread of its own."""
    from afx.sandbox.testing import LocalTelegram

    with LocalTelegram() as telegram:
        yield telegram


@pytest.fixture
def afx_sandbox(_afx_sandbox_server: LocalTelegram) -> Iterator[LocalTelegram]:
    """A running Telegram: make accounts and channels, connect clients, cause faults.

    The server is shared by the tests of a process; accounts and chats are each test's own,
    and faults end with the test.
    """
    yield _afx_sandbox_server
    _afx_sandbox_server.end_faults()
