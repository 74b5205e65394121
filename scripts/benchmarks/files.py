"""A file that is downloaded and uploaded anew: what it costs a node, beside texts.

The source forbids to save its files, and the rule says ``protected: reupload``. Memory is the
most that the node's host process has had while something was copied, above what it had before:
of a text, and of the file. While the file is on its way another session copies texts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from common import Target, peak_mib, report

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from models.storage import rules

NAME = "files"
_MIB = 1 << 20
_LARGEST = 4_000 * 512 * 1024
"""Bytes of the largest file of an ordinary account (core.telegram.org/api/files)."""
_TEXTS = 200
_TEXTS_PER_SECOND = 20.0
_MOST_SECONDS = 1_800.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bytes", type=int, default=_LARGEST, help="of the file")


def run(flags: argparse.Namespace) -> None:
    """Copy texts, then a file beside texts of another session."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            guarded, beside = lab.add_sessions(2)
            rule = rules.find(f"{guarded.name}/copy")
            rules.change(rule, options={"protected": "reupload"})
            lab.sandbox.call("protect", chat=guarded.source)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            host = max(lab.process_tree("w1"), key=lambda it: it.memory_info().rss)
            _texts(lab, guarded)  # what is made once is made now
            _file(lab, guarded, 300_000, 1)
            text = _measured(host, "texts", lambda: _texts(lab, guarded))
            lab.expect_copies([beside])
            row = _measured(host, "a file", lambda: _file(lab, guarded, flags.bytes, 2, beside))
            verdict = lab.wait_delivered()
            same = lab.sandbox.call(
                "same_files", chat=guarded.destination, size=flags.bytes, seed=2
            )
    row["mib_per_s"] = round(flags.bytes / _MIB / row["seconds"], 1)
    row["texts_beside"] = verdict.delivered
    row["p50_ms"], row["p99_ms"] = verdict.latency_ms.p50, verdict.latency_ms.p99
    more = round(row["above_mib"] - text["above_mib"], 1)
    targets = [
        Target("memory for the file, above that for texts, MiB", more, 8.0, "at most"),
        Target("copies of the file that are the same", same, 1, "at least"),
        Target("texts beside it that were lost, doubled or late", verdict.damage, 0, "at most"),
    ]
    report(NAME, [text, row], targets, as_json=flags.json)


def _texts(lab: LabCluster, session: LabSession) -> None:
    """Copy some texts, with the load that a busy chat is."""
    before = _count(lab, session)
    lab.post(_TEXTS, 1_000.0, [session])
    lab.wait("texts are copied", lambda: _count(lab, session) >= before + _TEXTS, 60.0)


def _file(
    lab: LabCluster, session: LabSession, size: int, seed: int, beside: LabSession | None = None
) -> None:
    """Copy a file; texts of another session are posted until it is there."""
    before = _count(lab, session)
    lab.sandbox.call("post_file", chat=session.source, text="a file", size=size, seed=seed)
    if beside:
        lab.post(int(_TEXTS_PER_SECOND * _MOST_SECONDS), _TEXTS_PER_SECOND, [beside])
    lab.wait("the file is copied", lambda: _count(lab, session) > before, _MOST_SECONDS)
    if beside:
        lab.sandbox.call("stop_flow")


def _count(lab: LabCluster, session: LabSession) -> int:
    return int(lab.sandbox.call("count", chat=session.destination))


def _measured(host: psutil.Process, name: str, act: Callable[[], None]) -> dict[str, Any]:
    """Return how far the memory of a process rose while something was done, and its CPU."""
    before = host.memory_info().rss
    Path(f"/proc/{host.pid}/clear_refs").write_text("5")  # proc(5): VmHWM begins anew
    used, began = host.cpu_times(), time.monotonic()
    act()
    seconds, now = time.monotonic() - began, host.cpu_times()
    return {
        "copied": name,
        "before_mib": round(before / _MIB, 1),
        "above_mib": round(peak_mib(host) - before / _MIB, 1),
        "seconds": round(seconds, 2),
        "cpu_s": round(now.user + now.system - used.user - used.system, 2),
    }
