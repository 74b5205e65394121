"""The cluster's state in one sentence: what is wrong, how many are affected, what is under way."""

from __future__ import annotations

from dataclasses import dataclass

from afx.operations.cluster import ClusterStatus


@dataclass(slots=True, frozen=True)
class Verdict:
    """A sentence with its tone, and what more there is to say."""

    tone: str
    """``ok``, ``warn`` or ``crit``."""
    sentence: str
    more: str = ""
    link: str = ""
    """The page to look at."""
    label: str = ""


def judge(status: ClusterStatus) -> Verdict:
    """Return what a person should know first; the worst thing decides."""
    more = _details(status)
    if status.leader is None:
        return Verdict(
            "crit",
            "No coordinator leads; nothing is placed or moved.",
            "Sessions run on. Start one with 'afx coordinator start'. " + more,
        )
    if status.audit_fault:
        return Verdict(
            "crit", f"The audit log is damaged: {status.audit_fault}.", more, "/audit", "Audit"
        )
    if not status.nodes:
        waiting = sum(status.sessions.values())
        sentence = f"No node is alive; {_count(waiting, 'session')} cannot run."
        return Verdict("crit" if waiting else "warn", sentence, more, "/nodes", "Nodes")
    if status.waiting:
        return Verdict(
            "warn",
            f"{_count(status.waiting, 'session')} {_verb(status.waiting, 'wait')} for room.",
            more,
            "/overflow",
            "See what waits",
        )
    if status.redis_faults:
        node, fault = next(iter(sorted(status.redis_faults.items())))
        return Verdict("warn", f"Node {node}: {fault}.", more, "/nodes", "Nodes")
    if status.troubled:
        return Verdict(
            "warn",
            f"{_count(status.troubled, 'session')} {_verb(status.troubled, 'need')} a person.",
            more,
            "/sessions?troubled=true",
            "See which",
        )
    refused = status.reports_refused + status.jobs_refused + status.specs_refused
    if refused:
        return Verdict("warn", f"{_count(refused, 'record')} in Redis were refused.", more)
    return Verdict("ok", "All messages flow.", more)


def _details(status: ClusterStatus) -> str:
    sentences = [
        f"{_count(len(names), 'node')} {_verb(len(names), 'be')} {state}."
        for state, names in _by_state(status).items()
    ]
    if status.controls:
        sentences.append(f"{_count(status.controls, 'control')} under way.")
    return " ".join(sentences)


def _by_state(status: ClusterStatus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, state in status.not_ready.items():
        found.setdefault(state, []).append(name)
    return found


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _verb(number: int, verb: str) -> str:
    if verb == "be":
        return "is" if number == 1 else "are"
    return f"{verb}s" if number == 1 else verb
