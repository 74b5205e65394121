"""Acts on sessions."""

from __future__ import annotations

from dataclasses import dataclass

from afx.operations import logins
from afx.operations.change import Operator, change
from afx.security.vault import Vault
from models.storage import controls, sessions, users, workers
from models.storage.control_subjects import SessionSubject
from models.storage.sessions import NewSession


@dataclass(slots=True, frozen=True)
class Requested:
    """What came of a request: a control to wait for, unless all is so already."""

    target: str
    control: int | None
    note: str = ""


def add(operator: Operator, vault: Vault, name: str, user: str, login: str) -> int:
    """Add a session by its login string; returns its id.

    Raises UsageError for a bad string, a taken name, and a login that is here
    under another name.
    """
    text = logins.check(login)
    check_vault(vault)
    owner = users.find(user)
    with change(operator, "session.add", f"session/{name}") as details:
        new = NewSession(name, vault.seal(text), logins.fingerprint(text))
        session = sessions.create(owner, new)
        details.update({"user": owner.name, "id": session.id})
    return int(session.id)


def check_vault(vault: Vault) -> None:
    """Make sure that the vault's key is the one of the logins that are stored.

    With another one, nodes could open the old logins or the new ones, not both.
    Raises SecretError.
    """
    if (stored := sessions.newest_login()) is not None:
        vault.open(stored)


def want(operator: Operator, name: str, wanted: str) -> Requested:
    """Pause a session, or let it run again."""
    session = sessions.find(name)
    kind = "pause" if wanted == "paused" else "resume"
    held = sessions.describe(session)
    settled = ("paused",) if kind == "pause" else ("running", "assigned", "waiting", "unplaced")
    if held["desired_state"] == wanted and held["state"] in settled and not held["trouble"]:
        return Requested(session.name, None, f"is {held['state']} already")
    with change(operator, f"session.{kind}", f"session/{session.name}") as details:
        sessions.set_desired_state(session, wanted)
        control = controls.request(
            kind=kind, subject=SessionSubject(session.id), actor=operator.actor
        )
        details["control"] = control.id
    return Requested(session.name, control.id)


def require(operator: Operator, name: str, labels: dict[str, str]) -> tuple[str, bool]:
    """Set the labels that a session's node must have; returns (name, whether it changed)."""
    session = sessions.find(name)
    if session.requires == labels:
        return session.name, False
    with change(operator, "session.require", f"session/{session.name}") as details:
        sessions.set_requires(session, labels)
        details.update({"from": session.requires, "to": labels})
    return session.name, True


def move(operator: Operator, name: str, node: str) -> Requested:
    """Ask for a session to run on another node; empty: on any other."""
    session = sessions.find(name)
    target = workers.find(node).name if node else ""
    held = sessions.describe(session)
    if target and held["node"] == target and held["state"] == "running":
        return Requested(session.name, None, f"runs on {target} already")
    with change(operator, "session.move", f"session/{session.name}") as details:
        control = controls.request(
            kind="move", subject=SessionSubject(session.id), actor=operator.actor, target=target
        )
        details.update({"from": held["node"], "to": target, "control": control.id})
    return Requested(session.name, control.id)


def remove(operator: Operator, name: str) -> Requested:
    """Remove a session with its rules, once no node runs it.

    What no node has ever run goes at once.
    """
    session = sessions.find(name)
    with change(operator, "session.remove", f"session/{session.name}") as details:
        details["id"] = session.id
        if sessions.remove_unused(session):
            return Requested(session.name, None, "is removed")
        sessions.mark_removing(session)
        control = controls.request(
            kind="remove", subject=SessionSubject(session.id), actor=operator.actor
        )
        details["control"] = control.id
    return Requested(session.name, control.id)
