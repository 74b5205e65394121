"""Metrics in Prometheus's text format: nodes are labels, sessions and rules never are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from afx.api.frames import Snapshot
from afx.api.state import Api
from afx.api.webhook_metrics import webhook_lines
from afx.errors import AfxError
from afx.exposition import Metric, by_label, escaped, lines
from afx.operations import queues, scaling, webhooks
from afx.operations.queues import QueueRow
from afx.operations.scaling import ScalingStatus
from afx.operations.webhooks import Figures

_OLDEST_SECONDS = 1.0


async def rendered(api: Api) -> bytes:
    """Return the metrics; while the cluster's servers are away, ``afx_up`` 0 and the API's own."""
    snapshot: Snapshot | None = None
    rows: list[QueueRow] = []
    recommended: ScalingStatus | None = None
    told: Mapping[str, Figures] | None = None
    with suppress(AfxError):
        snapshot = await api.hub.recent(_OLDEST_SECONDS)
        rows = await api.threads.read(
            lambda: api.kept.get("queues", lambda: queues.listing(api.system))
        )
        recommended = await api.threads.read(
            lambda: api.kept.get("scaling", lambda: scaling.status(api.system))
        )
        told = await api.threads.read(
            lambda: api.kept.get("webhooks", lambda: webhooks.figures(api.system))
        )
    found = [
        *_scaling(recommended),
        *_cluster(snapshot),
        *_queues(rows),
        *webhook_lines(told, datetime.now(UTC)),
        *api.traffic.lines(),
        *_own(api),
    ]
    return ("\n".join(found) + "\n").encode()


def _queues(rows: Sequence[QueueRow]) -> Iterator[str]:
    """Yield how full the queues are; while the database is away they have no series."""
    states = ("waiting", "queued", "published", "running")
    series = tuple(
        ((("queue", it.name), ("state", state)), getattr(it, state))
        for it in rows
        for state in states
    )
    oldest = {it.name: it.oldest_seconds or 0.0 for it in rows}
    yield from lines(
        (
            Metric("afx_queue_tasks", "gauge", "Tasks that have not finished.", series),
            by_label(
                "afx_queue_oldest_seconds",
                "gauge",
                "For how long the oldest task has been ready to run; 0: there is none.",
                "queue",
                oldest,
            ),
        )
    )


def _scaling(found: ScalingStatus | None) -> Iterator[str]:
    """Yield the recommendation; while it is not known, there is no series, not another number."""
    figures: dict[str, tuple[str, int]] = {
        "afx_desired_nodes": (
            "How many nodes are recommended; the last good recommendation holds.",
            found.desired if found else 0,
        ),
        "afx_desired_nodes_stale": (
            "Whether no leader has looked at the nodes recently.",
            int(found.is_stale) if found else 0,
        ),
    }
    is_known = found is not None and found.desired > 0
    for name, (text, value) in figures.items():
        yield from lines((Metric(name, "gauge", text, (((), value),) if is_known else ()),))


def _own(api: Api) -> Iterator[str]:
    yield "# TYPE afx_api_event_clients gauge"
    yield f"afx_api_event_clients {api.hub.clients}"


def _cluster(snapshot: Snapshot | None) -> Iterator[str]:
    yield "# HELP afx_up Whether Redis and the database answer the API."
    yield "# TYPE afx_up gauge"
    yield f"afx_up {int(snapshot is not None)}"
    if snapshot is None:
        return
    status = snapshot.status
    figures: dict[str, tuple[str, float]] = {
        "afx_leader": ("Whether a coordinator leads.", int(status.leader is not None)),
        "afx_term": ("The number of the present leadership.", status.term),
        "afx_nodes": ("Live nodes.", status.nodes),
        "afx_overflow_sessions": ("Sessions that fit on no node and wait.", status.waiting),
        "afx_troubled_sessions": ("Sessions with a trouble.", status.troubled),
        "afx_open_controls": ("Controls that are not finished.", status.controls),
        "afx_refused_reports": ("Records in Redis that did not parse.", status.reports_refused),
        "afx_refused_jobs": ("Jobs in Redis that are not signed.", status.jobs_refused),
        "afx_refused_specs": ("Specs in Redis that are not signed.", status.specs_refused),
        "afx_audit_fault": ("Whether the audit log is damaged.", int(bool(status.audit_fault))),
    }
    for name, (text, value) in figures.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} gauge"
        yield f"{name} {value}"
    yield "# TYPE afx_sessions gauge"
    for state, count in sorted(status.sessions.items()):
        yield f'afx_sessions{{state="{escaped(state)}"}} {count}'
    nodes = [it for it in snapshot.sample.nodes if it.live]
    for name, kind, field in (
        ("afx_node_load_ratio", "gauge", "load"),
        ("afx_node_cpu_ratio", "gauge", "cpu"),
        ("afx_node_resident_bytes", "gauge", "rss"),
        ("afx_node_free_bytes", "gauge", "ram_free"),
        ("afx_node_sessions", "gauge", "sessions"),
        ("afx_node_starting_sessions", "gauge", "starting"),
        ("afx_node_forwarded_messages_total", "counter", "forwarded"),
    ):
        yield f"# TYPE {name} {kind}"
        for it in sorted(nodes, key=lambda it: it.name):
            yield f'{name}{{node="{escaped(it.name)}"}} {getattr(it, field)}'
