"""Proxies of sessions, as the leader handles them."""

from __future__ import annotations

from support.specs import SIGNING_KEYS
from support.term_harness import TermHarness, add, placed, running

from afx.cluster import keys
from afx.cluster.specs import open_spec
from afx.reasons import FailureReason
from models.storage import assignments, placing, proxies, sessions
from models.storage.proxies import NewProxy
from models.tables import Session


def proxy(name: str, **requires: str) -> int:
    return proxies.add(NewProxy(name, "", "http", "h", 1, requires, lambda it: f"sealed {it}"))


def assign(session: int, name: str) -> None:
    proxies.assign(sessions.find(str(session)), proxies.find(name))


def test_a_session_runs_where_its_proxy_can_be_reached_and_nowhere_else(
    harness: TermHarness,
) -> None:
    harness.add_node("w1", exit="a")
    [session] = add("alice", 1)
    harness.until(lambda: placed() == {session: "w1"})
    proxy("p", exit="b")
    assign(session, "p")
    harness.until(lambda: not placed())
    for _ in range(20):
        harness.tick()
    assert not placed(), "no node has the label"
    harness.add_node("w2", exit="b")
    harness.until(lambda: placed() == {session: "w2"})
    # Its node dies: the session waits for one that has the same exit.
    harness.kill_node("w2")
    harness.until(lambda: not placed())
    harness.add_node("w3", exit="b")
    harness.until(lambda: placed() == {session: "w3"})


def test_a_changed_proxy_is_stopped_and_answered_before_the_start_that_has_it(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    [before] = assignments.active()
    made = proxy("p")
    assign(session, "p")
    harness.until(
        lambda: (
            [it.epoch for it in assignments.active() if it.state == "running"] != [before.epoch]
            and running() == {session}
        )
    )
    [after] = assignments.active()
    assert after.epoch > before.epoch
    [stop] = harness.sent("stop", session)
    assert stop.epoch == before.epoch
    spec = open_spec(
        SIGNING_KEYS,
        str(harness.redis.get(keys.spec(session))),
        session_id=session,
        epoch=after.epoch,
    )
    assert (spec.proxy, spec.sealed_proxy) == (made, f"sealed {made}")


def test_what_sessions_report_of_their_proxy_is_shown_until_one_runs(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    proxy("p")
    assign(session, "p")
    harness.until(lambda: running() == {session})
    harness.report_failure(session, FailureReason.PROXY_UNREACHABLE)
    harness.until(lambda: proxies.find("p").state == "fails")
    row = sessions.describe(Session.get_by_id(session))
    assert "its proxy does not answer" in row["trouble"]
    assert "afx session set" in row["trouble"]
    harness.change_leader()
    harness.until(lambda: running() == {session})
    harness.until(lambda: proxies.find("p").state == "works")
    assert not sessions.describe(Session.get_by_id(session))["proxy_error"]
    assert placing.traits([session])
