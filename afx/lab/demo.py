"""The demo: a cluster at work, a node killed, and what the ledger says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from afx.cluster.registry import WorkerView
from afx.lab.cluster import Failover, Lab, LabSession

Phase = Literal["starting", "placing", "forwarding", "failing over", "finishing", "done"]
_KILL_SHARE = 0.4
_SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class Scene:
    """What there is to see at a moment."""

    phase: Phase = "starting"
    sessions: int = 0
    posted: int = 0
    messages: int = 0
    verdict: dict[str, Any] = field(default_factory=dict)
    nodes: list[WorkerView] = field(default_factory=list)
    killed: str = ""
    news: list[str] = field(default_factory=list)


def run(
    lab: Lab,
    *,
    workers: int,
    sessions: int,
    messages: int,
    rate: float,
    kill: bool,
    show: Callable[[Scene], None],
) -> dict[str, Any]:
    """Play the demo in an open lab; returns its figures.

    ``show`` is called several times a second. All figures but the moment of
    detection come from the sandbox's ledger.
    """
    begun = time.monotonic()
    scene = Scene(messages=messages, sessions=sessions)

    def look(phase: Phase, *news: str) -> None:
        scene.phase = phase
        scene.news += news
        scene.nodes = lab.nodes()
        scene.posted = lab.sandbox.call("progress")["posted"]
        scene.verdict = lab.sandbox.call("judge")
        show(scene)

    look("starting", "a local Telegram, Redis and a database are up")
    lab.add_sessions(sessions, mode=lambda number: "forward" if number % 2 else "copy")
    lab.fleet.start_coordinator()
    for number in range(1, workers + 1):
        lab.fleet.start_worker(f"w{number}")
    _until(lambda: len(lab.nodes()) >= workers, "all nodes register", lambda: look("starting"))
    look("placing", f"{workers} nodes have registered; {sessions} sessions are being placed")
    _until(
        lambda: lab.running() >= sessions,
        "all sessions run",
        lambda: look("placing"),
        seconds=60 + sessions / 20,
    )
    look("forwarding", f"all {sessions} sessions run; messages begin to flow")
    lab.expect_copies()
    lab.post(messages, rate)
    failover: Failover | None = None
    if kill and messages:
        _until(
            lambda: lab.sandbox.call("progress")["posted"] >= messages * _KILL_SHARE,
            "messages flow",
            lambda: look("forwarding"),
            seconds=30 + messages / rate,
        )
        failover = _kill_one(lab, scene, look)
    _until(
        lambda: lab.sandbox.call("progress")["done"],
        "all messages are posted",
        lambda: look("forwarding"),
        seconds=30 + messages / rate,
    )
    look("finishing", "all messages are posted; waiting for the last copies")
    until = time.monotonic() + 30
    while lab.sandbox.call("judge")["lost"] and time.monotonic() < until:
        look("finishing")
        time.sleep(0.1)
    time.sleep(_SETTLE_SECONDS)  # a double would still come now
    look("done")
    return {
        "workers": workers,
        "sessions": sessions,
        **lab.sandbox.call("judge"),
        "failover": asdict(failover) if failover else None,
        "seconds": round(time.monotonic() - begun, 1),
    }


def _kill_one(lab: Lab, scene: Scene, look: Callable[..., None]) -> Failover:
    node = lab.busiest_node()
    killed_at, victims = lab.kill_node(node)
    scene.killed = node
    detected_at = lab.wait_detected(node)
    look(
        "failing over",
        f"{node} was killed (SIGKILL to all its processes) with {len(victims)} sessions",
        f"the coordinator saw it after {detected_at - killed_at:.2f} s",
    )
    recovered_at = _recovery(lab, killed_at, victims, lambda: look("failing over"))
    look("forwarding", f"all its sessions forward again after {recovered_at - killed_at:.2f} s")
    return Failover(
        node, len(victims), round(detected_at - killed_at, 3), round(recovered_at - killed_at, 3)
    )


def _recovery(
    lab: Lab, killed_at: float, victims: list[LabSession], look: Callable[[], None]
) -> float:
    """Return when the last of the dead node's sessions forwarded again.

    A session to whose source nothing more is posted gets one message, so that
    there is something to see.
    """
    poked = False
    begun = time.monotonic()
    while True:
        at = lab.recovered(killed_at, victims)
        if at is not None:
            return at
        now = time.monotonic()
        if not poked and lab.sandbox.call("progress")["done"]:
            poked = True
            for it in victims:
                lab.sandbox.call("post", chat=it.source, text=f"one more for {it.account}")
        if now - begun > 60:
            return now
        look()
        time.sleep(0.05)


def _until(
    done: Callable[[], bool], what: str, look: Callable[[], None], seconds: float = 60.0
) -> None:
    from afx.errors import AfxError

    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise AfxError(
                f"The demo waited {seconds:.0f} s in vain until {what}; use --keep "
                "and look at the cluster's log."
            )
        look()
        time.sleep(0.1)
