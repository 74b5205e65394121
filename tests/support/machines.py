"""Machines for tests: namespaces that are joined by switches with cables to pull.

Each machine has two network cables: one leads to Redis, one to Telegram. What is
sent over a pulled cable is lost silently, as on a real network: no reset, no
refusal. This needs root and iproute2; see ``Machines.possible``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Cable = Literal["redis", "telegram"]
_CABLES: Sequence[Cable] = ("redis", "telegram")
_serial = itertools.count()


@dataclass(slots=True, frozen=True)
class Machine:
    """One machine: a network namespace, and a pid namespace for each process entered."""

    name: str
    switches: dict[Cable, str]

    @property
    def enter(self) -> list[str]:
        """The command that runs another one on this machine."""
        return [sys.executable, str(Path(__file__).with_name("enter_machine.py")), self.name]

    def unplug(self, *cables: Cable) -> None:
        for it in cables or _CABLES:
            _ip("link", "set", _port(self.name, it), "nomaster")

    def plug_in(self, *cables: Cable) -> None:
        for it in cables or _CABLES:
            _ip("link", "set", _port(self.name, it), "master", self.switches[it])


class Machines:
    """Two switches and the machines on them; this machine is at ``.1`` of both."""

    def __init__(self) -> None:
        self._closing = contextlib.ExitStack()
        # Unique among all test processes that run at the same time.
        self._id = f"{os.getpid():x}{next(_serial)}"
        first = os.getpid() * 2 % (128 * 256)
        self._nets = dict(zip(_CABLES, (_net(first), _net(first + 1)), strict=True))
        self._switches: dict[Cable, str] = {}
        self._count = 0
        try:
            for cable in _CABLES:
                switch = f"s{self._id}{cable[0]}"
                _ip("link", "add", switch, "type", "bridge")
                self._closing.callback(_ip, "link", "del", switch)
                # Without its own address it takes the lowest of its ports', which change.
                _ip("link", "set", switch, "address", "02:00:00:00:00:01")
                _ip("addr", "add", f"{self.address(cable)}/24", "dev", switch)
                _ip("link", "set", switch, "up")
                self._switches[cable] = switch
        except BaseException:
            self._closing.close()
            raise

    @staticmethod
    def possible() -> bool:
        """Return whether this machine lets us create others."""
        if os.geteuid() or not shutil.which("ip"):
            return False
        try:
            Machines().close()
        except subprocess.CalledProcessError:
            return False
        return True

    def close(self) -> None:
        """Remove all; what runs on the machines must have ended."""
        self._closing.close()

    def address(self, cable: Cable) -> str:
        """Return where the machines reach this one over such a cable."""
        return f"{self._nets[cable]}.1"

    def add(self) -> Machine:
        """Create a machine with both cables plugged in."""
        self._count += 1
        name = f"m{self._id}{self._count:x}"
        _ip("netns", "add", name)
        self._closing.callback(_ip, "netns", "del", name)
        _ip("-n", name, "link", "set", "lo", "up")
        for cable in _CABLES:
            port, inside = _port(name, cable), cable
            _ip("link", "add", port, "type", "veth", "peer", "name", inside, "netns", name)
            _ip("link", "set", port, "master", self._switches[cable], "up")
            _ip(
                "-n",
                name,
                "addr",
                "add",
                f"{self._nets[cable]}.{1 + self._count}/24",
                "dev",
                inside,
            )
            _ip("-n", name, "link", "set", inside, "up")
        return Machine(name, dict(self._switches))


def _net(number: int) -> str:
    return f"10.{64 + number // 256}.{number % 256}"


def _port(machine: str, cable: Cable) -> str:
    return f"p{machine}{cable[0]}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)
