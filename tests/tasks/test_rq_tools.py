"""RQ's own tools, as they come from their packages, look at a real leader's and node's records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.task_bench import TaskBench

from models.storage import tasks

_STOCK = """
import json, sys
from flask import Flask
from rq.serializers import JSONSerializer
from rq_dashboard import default_settings, web
web.config.serializer = JSONSerializer
app = Flask("test")
app.testing = True
app.config.from_object(default_settings)
app.config["RQ_DASHBOARD_REDIS_URL"] = sys.argv[1]
web.setup_rq_connection(app)
app.register_blueprint(web.blueprint)
"""
_OURS = """
import json, sys
from afx.api.rq_view import _ReadOnly, _flask
app = _flask(_ReadOnly.from_url(sys.argv[1]))
"""
_ASK = """
client = app.test_client()
answers = {it: client.get(it) for it in sys.argv[2:]}
print(json.dumps({it: [one.status_code, one.text] for it, one in answers.items()}))
"""


@pytest.fixture
def busy(bench: TaskBench) -> TaskBench:
    """A node with 3 tasks that run, 2 that wait, 2 that have finished, and a failed one."""
    bench.add_node("w1", slots=4)
    done = bench.probe(2)
    bad = bench.probe(arguments='{"fails":true}')
    bench.until(lambda: bench.states(done) == {"succeeded"} and bench.states(bad) == {"failed"})
    bench.probe(5, arguments='{"seconds":60}')
    counts = {(2, "running"): 3, (2, "published"): 2}
    bench.until(lambda: tasks.counts() == counts)
    bench.on_loop(bench.nodes["w1"].executor._flush_ended())
    beat = bench.nodes["w1"].executor
    running = [(it.queue, it.job_id) for it in beat._running.values()]
    bench.on_loop(beat._records.beat(running, beat._done, beat._failed))
    return bench


def pages(bench: TaskBench, app: str, *paths: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-c", app + _ASK, bench.redis_url, *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {status for status, _ in found.values()} == {200}, found
    return {path: text for path, (_, text) in found.items()}


def jobs_path(registry: str) -> str:
    return f"/0/data/jobs/default/{registry}/20/asc/1.json"


@pytest.mark.parametrize("app", [_STOCK, _OURS], ids=["stock", "ours"])
def test_the_pages_of_rq_dashboard_show_what_there_is(busy: TaskBench, app: str) -> None:
    registries = ("queued", "started", "finished", "failed")
    # The stock one unpickles the jobs of busy workers, whatever their serializer is.
    workers = ["/0/data/workers.json"] if app == _OURS else []
    found = pages(
        busy,
        app,
        "/",
        "/0/view/workers",
        "/0/view/jobs",
        "/0/view/job/task-1-1",
        "/0/data/queues.json",
        *workers,
        "/0/data/job/task-1-1.json",
        *map(jobs_path, registries),
    )
    queues = {it["name"]: it for it in json.loads(found["/0/data/queues.json"])["queues"]}
    default = queues["default"]
    assert default["count"] == 2
    counts = [default[f"{it}_job_registry_count"] for it in registries[1:]]
    assert counts == [3, 2, 1]
    for path in workers:
        [worker] = json.loads(found[path])["workers"]
        assert (worker["name"], worker["state"]) == ("w1-w1-1-tasks", "busy")
        assert "default" in worker["queues"] and worker["current_job"]["call_string"].startswith(
            "task "
        )
    shown = {it: json.loads(found[jobs_path(it)])["jobs"] for it in registries}
    assert {it: len(jobs) for it, jobs in shown.items()} == {
        "queued": 2,
        "started": 3,
        "finished": 2,
        "failed": 1,
    }
    assert {one["description"] for one in shown["started"]} <= {
        f"task {number}: task.probe" for number in range(4, 9)
    }
    job = json.loads(found["/0/data/job/task-1-1.json"])
    assert job["description"] == "task 1: task.probe" and job["status"] == "finished"


def test_rq_info_shows_what_there_is(busy: TaskBench) -> None:
    command = [str(Path(sys.executable).with_name("rq")), "info", "--raw", "-u", busy.redis_url]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    lines = shown.splitlines()
    assert "queue default 2, 3 executing, 2 finished, 1 failed" in lines
    [worker] = [it for it in lines if it.startswith("worker ")]
    assert worker.startswith("worker w1-w1-1-tasks ") and " busy " in worker
    assert worker.endswith("jobs: 2 finished, 1 failed")
