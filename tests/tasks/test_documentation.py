"""docs/tasks.md: its example runs, and what it names exists."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.task_bench import TaskBench

from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import Kind
from models.storage import task_logs, tasks
from models.storage.tasks import NewTask

TEXT = (Path(__file__).parents[2] / "docs/tasks.md").read_text()


@pytest.fixture
def example() -> Iterator[Kind]:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    module = types.ModuleType("example_kind")
    sys.modules["example_kind"] = module
    exec(compile(code, "docs/tasks.md", "exec"), module.__dict__)
    yield module.KIND
    del sys.modules["example_kind"]


def test_the_kind_of_the_documentation_runs(bench: TaskBench, example: Kind) -> None:
    bench.add_node("w1", kinds=[*KINDS.values(), example])
    [good, bad] = bench.submit(
        NewTask("text.count", arguments='{"text":"one two three"}'),
        NewTask("text.count", arguments='{"text":""}'),
    )
    bench.until_state(good, "succeeded")
    assert tasks.get(good)["result"] == {"words": 3}
    assert [it.text for it in task_logs.lines([good])] == ["counts 3 words"]
    bench.until_state(bad, "failed")
    assert "no word" in tasks.get(bad)["error"]


def test_each_kind_says_what_it_does_in_a_sentence() -> None:
    for name, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+", name)
        assert kind.summary.endswith(".") and len(kind.summary) < 100


def test_the_metadata_of_kinds_imports_no_telegram_client() -> None:
    import subprocess

    code = (
        "import sys, afx.tasks.kinds; "
        "print([it for it in ('telethon', 'redis', 'rq', 'peewee') if it in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
