"""Faults of a plan that need no cluster: what they do to the sandbox, and how they end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from afx.lab.cluster import LabCluster, temporary_settings
from afx.lab.fault_plan import Fault, mischief
from afx.lab.faults import FaultInjector
from afx.lab.links import BadLink
from afx.sandbox.mischief import Mischief
from afx.sandbox.testing import LocalTelegram


class Recorder:
    """Passes calls on to a sandbox, and remembers what they returned."""

    def __init__(self, telegram: LocalTelegram) -> None:
        self._telegram = telegram
        self.answers: list[Any] = []

    def call(self, name: str, /, **arguments: Any) -> Any:
        self.answers.append(self._telegram.call(name, **arguments))
        return self.answers[-1]


def test_mischief_begins_with_the_shares_of_its_fault_and_is_undone(tmp_path: Path) -> None:
    fault = Fault(0.0, "mischief", 1.0, 0.25)
    with LocalTelegram() as telegram:
        sandbox = Recorder(telegram)
        lab = SimpleNamespace(settings=temporary_settings(tmp_path), sandbox=sandbox)
        injector = FaultInjector(cast(LabCluster, lab), [], cast(BadLink, None))
        assert injector.target(fault) == ""
        undo = injector.inject(fault, "")
        assert undo
        undo()
    assert sandbox.answers == [mischief(fault).to_json(), Mischief().to_json()]
