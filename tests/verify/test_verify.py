"""`afx verify`: what it says of a cluster that works, of one that does not, and of none."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis as redis_module
from support.cli_runs import COMMAND, complains, environment, runner

from afx.cluster import keys
from afx.cluster.registry import Registry
from afx.errors import AfxError
from afx.lab.cluster import LabCluster, temporary_settings
from afx.verify import nodes, outside, work
from afx.verify.result import TITLES, Findings, Outcome, Target
from afx.verify.run import CHECKS, run
from models.storage import assignments, queue, sessions, users
from models.tables import WorkerTask


def found(**lists: list[str]) -> Findings:
    return Findings(**lists)  # type: ignore[arg-type]


def test_what_is_missing_or_left_out_is_never_passed() -> None:
    assert found().outcome is Outcome.PASSED
    assert found(not_done=["a"]).outcome is Outcome.PARTLY
    assert found(not_done=["a"], missing=["b"]).outcome is Outcome.NOT_AVAILABLE
    assert found(missing=["b"], problems=["c"]).outcome is Outcome.FAILED


def test_there_are_nine_tests_and_each_has_a_title() -> None:
    assert len(CHECKS) == len(TITLES) == len(set(CHECKS)) == 9


def check(target: Target, number: int) -> Findings:
    findings = Findings()
    CHECKS[number - 1](target, findings)
    return findings


def test_a_test_that_breaks_off_has_failed_and_the_others_go_on(target: Target) -> None:
    def breaks(target: Target, findings: Findings) -> None:
        raise AfxError("no answer.")

    def is_wrong(target: Target, findings: Findings) -> None:
        raise KeyError("x")

    def works(target: Target, findings: Findings) -> None:
        findings.note("all is well", count=3)

    results = list(run(target, [breaks, is_wrong, works]))
    assert [it.outcome for it in results] == ["failed", "failed", "passed"]
    assert results[0].problems == ("no answer",)
    assert "KeyError" in results[1].problems[0]
    assert results[2].figures == {"count": 3}


def test_without_a_leader_and_nodes_registration_fails(target: Target) -> None:
    findings = check(target, 1)
    assert findings.outcome is Outcome.FAILED
    assert any("no coordinator leads" in it for it in findings.problems)
    assert any("no node is registered" in it for it in findings.problems)


def test_a_node_that_sends_no_heartbeat_is_named(
    target: Target, redis: redis_module.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.registries import IDLE, identity

    monkeypatch.setattr(nodes, "_OBSERVED_SECONDS", 0.0)
    Registry(redis).register(identity(), IDLE)
    assert "w1 sent no heartbeat in 0.2 s" in check(target, 1).problems


def test_a_node_with_more_sessions_than_it_may_have_fails_the_assignment(
    target: Target, redis: redis_module.Redis
) -> None:
    from support.registries import IDLE, identity

    Registry(redis).register(identity(most=2), IDLE)
    redis.hset(keys.worker("w1"), "assigned", 3)
    problems = check(target, 2).problems
    assert any("more sessions than it may" in it for it in problems)
    assert any("the counts in Redis and SQL agree" in it for it in problems)


def test_an_overflow_that_sql_and_rq_count_differently_fails(
    target: Target, redis: redis_module.Redis
) -> None:
    redis.rpush("rq:queue:overflow", "overflow-1")
    with pytest.raises(AfxError, match="agree"):
        work.overflow(target, Findings())


def test_without_a_canary_no_session_is_made_to_hibernate(target: Target) -> None:
    findings = check(target, 4)
    assert findings.outcome is Outcome.PARTLY
    assert "hibernate" in findings.not_done[0]
    assert findings.figures["hibernated"] == 0


def test_reservations_of_a_node_that_is_gone_are_found(
    target: Target, redis: redis_module.Redis
) -> None:
    assert check(target, 5).outcome is Outcome.PARTLY
    redis.hset(keys.reservations("gone"), "1", "5")
    assert check(target, 5).outcome is Outcome.FAILED


def test_without_a_leader_no_task_is_left_behind(target: Target) -> None:
    findings = check(target, 6)
    assert findings.outcome is Outcome.FAILED
    assert "none was submitted" in findings.problems[0]
    assert not WorkerTask.select().exists()


def test_tasks_that_no_node_runs_fail(target: Target) -> None:
    target.context.servers.redis().set(keys.LEADER, "host:1:one")
    findings = check(target, 6)
    assert findings.outcome is Outcome.FAILED
    assert "of 5 probes" in findings.problems[0]


def test_an_api_that_does_not_answer_is_not_available(target: Target) -> None:
    findings = Findings()
    outside.dashboard(target, findings)
    assert findings.outcome is Outcome.NOT_AVAILABLE


class HalfAnApi(BaseHTTPRequestHandler):
    """Answers the sign-in page, and nothing else until its test has ended."""

    ended = threading.Event()

    def do_GET(self) -> None:
        if self.path != "/sign-in":
            self.ended.wait(60)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<form>")

    def log_message(self, *_: object) -> None:
        pass


def test_an_api_that_hangs_fails_and_what_did_not_answer_is_named(target: Target) -> None:
    HalfAnApi.ended.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), HalfAnApi) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with pytest.raises(AfxError, match=r"/openapi\.json .* within 1 s"):
                outside.dashboard(replace(target, web_url=url, seconds=1.0), Findings())
        finally:
            HalfAnApi.ended.set()
            server.shutdown()
            thread.join()


def test_an_owner_that_redis_does_not_confirm_fails_the_recovery(
    target: Target, redis: redis_module.Redis
) -> None:
    from models.storage.sessions import NewSession

    [one] = sessions.create_many(users.create("u"), [NewSession("s", "x")])
    assignments.create_many([assignments.Active(one, 1, "w1", "i", 7, "assigned")])
    redis.hset(keys.assignment(one), mapping={"incarnation": "another", "epoch": "7"})
    with pytest.raises(AfxError, match="agree"):
        work.recovery(target, Findings())


def test_a_damaged_audit_log_fails_the_security(target: Target) -> None:
    findings = check(target, 9)
    assert findings.outcome is Outcome.PASSED, findings.problems
    redis = target.context.servers.redis()
    redis.set(keys.AUDIT_HEAD, "9:forged:seal")
    assert check(target, 9).outcome is Outcome.FAILED


def test_no_cluster_is_one_sentence_and_a_wrong_one_exits_1(home: Path, redis_url: str) -> None:
    done = runner(home)("verify", "--timeout", "1", "--json", AFX_REDIS_URL=redis_url)
    results = json.loads(done.stdout)
    assert done.returncode == 1
    assert [it["number"] for it in results] == list(range(1, 10))
    assert results[0]["outcome"] == "failed"
    assert "Traceback" not in done.stderr
    complains(runner(home)("verify", "--timeout", "0"), 2)


def test_a_cluster_that_works_passes_and_is_left_as_it_was(home: Path) -> None:
    with LabCluster(temporary_settings(home)) as lab:
        lab.processes.start_coordinator()
        lab.processes.start_nodes(2)
        lab.wait_nodes(2)
        lab.add_sessions(6)
        lab.wait_running()
        lab.expect_copies()
        before = {it.session: it.epoch for it in assignments.active()}
        done = runner(home)(
            *("verify", "--json", "--url", "http://127.0.0.1:9"), AFX_TEST_NETWORKS="127.0.0.0/8"
        )
        results = json.loads(done.stdout)
        outcomes = {it["number"]: it["outcome"] for it in results}
        assert done.returncode == 0, [it["problems"] for it in results]
        assert outcomes == {
            1: "passed",
            2: "passed",
            3: "passed",
            4: "passed",
            5: "partly",
            6: "passed",
            7: "not available",  # this cluster has no API
            8: "partly",
            9: "passed",
        }
        assert all(it["measured"] for it in results if it["number"] != 7)
        assert "no node was killed" in results[7]["not_done"]
        assert {it.session: it.epoch for it in assignments.active()} == before
        assert not any(it["name"].startswith("afx-verify") for it in users.listing().rows)
        assert queue.count() == 0
        assert lab.judge().is_clean


@pytest.mark.faults
def test_the_full_tests_pass_on_a_cluster_of_their_own(home: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "verify", "--full", "--json"],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    results = json.loads(done.stdout)
    assert done.returncode == 0, [it["problems"] for it in results]
    outcomes = [it["outcome"] for it in results]
    assert outcomes == ["passed"] * 9
    figures = results[7]["figures"]
    assert (figures["lost"], figures["doubled"], figures["revoked"]) == (0, 0, 0)
