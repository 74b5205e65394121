"""One process at a time holds a home's lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from afx.errors import UsageError
from afx.local.home_lock import home_lock

HOLDER = """
import sys
from pathlib import Path
from afx.local.home_lock import home_lock
with home_lock(Path(sys.argv[1]), "up", "afx up"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_the_process_of_the_first(home: Path) -> None:
    with home_lock(home, "up", "afx up"):
        with pytest.raises(UsageError, match=rf"'afx up' is already running.*{os.getpid()}"):
            with home_lock(home, "up", "afx up"):
                pytest.fail("two processes held the lock")


def test_a_lock_that_was_released_can_be_taken_again(home: Path) -> None:
    for _ in range(2):
        with home_lock(home, "up", "afx up"):
            pass


def test_locks_of_other_names_and_homes_do_not_exclude_each_other(home: Path) -> None:
    with home_lock(home, "up", "afx up"), home_lock(home, "sandbox", "afx sandbox start"):
        with home_lock(home / "other", "up", "afx up"):
            pass


def test_a_killed_holder_releases_the_lock(home: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(UsageError, match=str(holder.pid)):
        with home_lock(home, "up", "afx up"):
            pytest.fail("two processes held the lock")
    holder.kill()
    holder.communicate()
    with home_lock(home, "up", "afx up"):
        pass
