"""The spec of a session, from which a node starts it: its sealed login and its rules.

In Redis a spec is ``SIGNATURE JSON``. The signature covers the bytes of the JSON, and
with them the session, its epoch and its revision: who can write to Redis can neither
change a rule, nor give a session another one's spec, nor put back an older one.
``open_spec`` checks in the order of trust: size, signature, and only then the content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.writes import write
from afx.errors import AfxError
from afx.reasons import FailureReason
from afx.security.signing import SignatureError, SigningKeys

SPEC_LIMIT = 8 * 1024 * 1024
_CONTEXT = b"afx spec"
_MODES = ("copy", "forward")
_RULES_WITH_MORE = "rules_with_filters"
_RULES_WITH_OPTIONS = "rules_with_options"
_LOGIN_BEHIND_PROXY = "login_behind_proxy"
_LOGIN_OF_DEVICE = "login_of_device"


class RefusedSpecError(AfxError):
    """A spec in Redis must not be used."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class RuleSpec:
    """One rule as a node needs it; chats are marked ids or ``@name``."""

    id: int
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    mode: str
    """``copy`` or ``forward``."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Which messages it forwards (``afx.forwarding.conditions``); empty takes all."""
    transform: tuple[Mapping[str, Any], ...] = ()
    """What it changes of its copies (``afx.forwarding.transforms``)."""
    sync: tuple[str, ...] = ()
    """What it follows in its copies (``afx.forwarding.changes``)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else it does (``afx.forwarding.options``)."""


@dataclass(slots=True, frozen=True)
class SessionSpec:
    """All that a node needs to run a session."""

    session: int
    name: str
    tier: str
    login: str
    """The login, sealed by the vault for this session."""
    rules: tuple[RuleSpec, ...]
    epoch: int = 0
    """The assignment that it was written for."""
    revision: int = 0
    """The revision of the session that it was made from."""
    proxy: int = 0
    """The proxy through which alone it connects; 0: directly."""
    sealed_proxy: str = ""
    """The whole of it, sealed by the vault for this proxy."""
    sealed_device: str = ""
    """What it says of itself, sealed by the vault for this session; empty: as others do."""
    proof: str = ""
    """That the generation of the term that wrote it has begun (``generation_proof``)."""
    new_since: int = 0
    """When the account was signed in, in Unix seconds, if it is new; else 0."""
    new_seconds: int = 0
    """For so long it is new."""


def seal_spec(keys_in_force: SigningKeys, spec: SessionSpec) -> str:
    """Return a spec as it is stored in Redis."""
    text = json.dumps(_fields(spec), separators=(",", ":"))
    return f"{keys_in_force.sign(_CONTEXT, text.encode()).decode()} {text}"


def open_spec(
    keys_in_force: SigningKeys, stored: str, *, session_id: int, epoch: int
) -> SessionSpec:
    """Return the spec of a session's assignment, as it was signed.

    Raises RefusedSpecError for everything else: SPEC_INVALID when it was not signed by
    this cluster for this session, SPEC_OUTDATED when it belongs to another assignment.
    """
    if len(stored) > SPEC_LIMIT:
        raise RefusedSpecError(FailureReason.SPEC_INVALID, "it is too large")
    signature, _, text = stored.partition(" ")
    try:
        keys_in_force.verify(_CONTEXT, text.encode(), signature.encode())
    except SignatureError as error:
        raise RefusedSpecError(FailureReason.SPEC_INVALID, str(error)) from error
    except UnicodeEncodeError as error:
        raise RefusedSpecError(FailureReason.SPEC_INVALID, "it is not text") from error
    try:
        spec = _parse(text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # Signed, yet not understood: a coordinator of another version wrote it.
        raise RefusedSpecError(
            FailureReason.SPEC_INVALID, f"its form is unknown ({type(error).__name__})"
        ) from error
    if spec.session != session_id:
        raise RefusedSpecError(
            FailureReason.SPEC_INVALID, f"it was signed for session {spec.session}"
        )
    if spec.epoch != epoch:
        raise RefusedSpecError(
            FailureReason.SPEC_OUTDATED, f"it was signed for epoch {spec.epoch}, not {epoch}"
        )
    return spec


def publish(
    client: redis.Redis, keys_in_force: SigningKeys, specs: Iterable[SessionSpec], term: int
) -> None:
    """Sign and write specs; raises FencedError when a newer term has begun."""
    write(client, {keys.spec(it.session): seal_spec(keys_in_force, it) for it in specs}, term)


def _fields(spec: SessionSpec) -> dict[str, Any]:
    # Not asdict: at a takeover this runs for every session, and asdict takes three times as long.
    rules = [
        {
            "id": it.id,
            "sources": it.sources,
            "destinations": it.destinations,
            "mode": it.mode,
            **({"filter": it.filter} if it.filter else {}),
            **({"transform": it.transform} if it.transform else {}),
            **({"sync": it.sync} if it.sync else {}),
            **({"options": it.options} if it.options else {}),
        }
        for it in spec.rules
    ]
    # A node of a version that knows no filters must refuse the spec, not forward all; nor may
    # one that knows no options forward twice what is to be forwarded once.
    name = "rules"
    if any(it.options for it in spec.rules):
        name = _RULES_WITH_OPTIONS
    elif any(it.filter or it.transform for it in spec.rules):
        name = _RULES_WITH_MORE
    # Nor may one that knows no proxies connect without, or as another device.
    login: dict[str, Any] = {}
    login_name = "login"
    if spec.proxy:
        login_name = _LOGIN_BEHIND_PROXY
        login = {"proxy": spec.proxy, "sealed_proxy": spec.sealed_proxy}
    if spec.sealed_device:
        login_name = _LOGIN_OF_DEVICE
        login["sealed_device"] = spec.sealed_device
    return {
        "session": spec.session,
        "epoch": spec.epoch,
        "revision": spec.revision,
        "name": spec.name,
        "tier": spec.tier,
        login_name: spec.login,
        **login,
        **({"proof": spec.proof} if spec.proof else {}),
        # A node that knows no new accounts lets them send as others do.
        **({"new": [spec.new_since, spec.new_seconds]} if spec.new_since else {}),
        name: rules,
    }


def _parse(text: str) -> SessionSpec:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("not a spec")
    names = ("rules", _RULES_WITH_MORE, _RULES_WITH_OPTIONS)
    rules = next((fields[it] for it in names if it in fields), None)
    if not isinstance(rules, list):
        raise ValueError("not a spec")
    numbers = {it: _number(fields[it]) for it in ("session", "epoch", "revision")}
    texts = {it: _text(fields[it]) for it in ("name", "tier")}
    texts["proof"] = _text(fields.get("proof", ""))
    names = (_LOGIN_OF_DEVICE, _LOGIN_BEHIND_PROXY, "login")
    login_name = next((it for it in names if it in fields), "login")
    texts["login"] = _text(fields[login_name])
    if login_name == _LOGIN_OF_DEVICE:
        texts["sealed_device"] = _text(fields["sealed_device"])
        if not texts["sealed_device"]:
            raise ValueError("no device")
    if login_name == _LOGIN_BEHIND_PROXY or "proxy" in fields or "sealed_proxy" in fields:
        texts["sealed_proxy"] = _text(fields["sealed_proxy"])
        numbers["proxy"] = _number(fields["proxy"])
        if not (numbers["proxy"] and texts["sealed_proxy"]):
            raise ValueError("no proxy")
    if "new" in fields:
        numbers["new_since"], numbers["new_seconds"] = (_number(it) for it in fields["new"])
    return SessionSpec(rules=tuple(_rule(it) for it in rules), **numbers, **texts)


def _rule(fields: Any) -> RuleSpec:
    if not isinstance(fields, dict) or fields["mode"] not in _MODES:
        raise ValueError("not a rule")
    wanted, changes = fields.get("filter", {}), fields.get("transform", [])
    if not isinstance(wanted, dict) or not isinstance(changes, list):
        raise ValueError("neither a filter nor transforms")
    if not all(isinstance(it, dict) for it in changes):
        raise ValueError("not transforms")
    events = fields.get("sync", [])
    if not isinstance(events, list):
        raise ValueError("not events")
    options = fields.get("options", {})
    if not isinstance(options, dict):
        raise ValueError("not options")
    return RuleSpec(
        _number(fields["id"]),
        _chats(fields["sources"]),
        _chats(fields["destinations"]),
        fields["mode"],
        wanted,
        tuple(changes),
        tuple(_text(it) for it in events),
        options,
    )


def _chats(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError("not a list of chats")
    return tuple(_text(it) for it in values)


def _number(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value
