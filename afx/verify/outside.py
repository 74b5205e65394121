"""Tests 7 and 9: the dashboard, and what protects the cluster."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from afx.cluster import refused_jobs, refused_specs
from afx.cluster.quarantine import refused_count
from afx.cluster.replication import require_safe
from afx.errors import AfxError
from afx.operations import audit_log
from afx.operations.sessions import check_vault
from afx.security.signing import SignatureError, SigningKeys
from afx.verify.result import Findings, Target

_PRESENCE_SECONDS = 5.0
"""Whether an API is there at all shows soon; what it answers may take as long as a test may."""
_MOST_BYTES = 8 * 1024 * 1024
_LEAST_ENDPOINTS = 25


def dashboard(target: Target, found: Findings) -> None:
    """The API answers, its dashboard asks who is there, and nobody reads without a token."""
    try:
        status, page = _get(target.web_url, "/sign-in", min(_PRESENCE_SECONDS, target.seconds))
    except OSError as error:
        reason = getattr(error, "reason", error)
        found.missing.append(
            f"no API answers at {target.web_url} ({reason}); start it with 'afx api start', or "
            "name its address with --url"
        )
        return
    found.require(status == 200 and b"<form" in page, f"the sign-in page answers {status}")
    status, text = _answer(target, "/openapi.json")
    found.require(status == 200, f"/openapi.json answers {status}")
    endpoints = _endpoints(text) if status == 200 else 0
    found.require(endpoints >= _LEAST_ENDPOINTS, f"the API has {endpoints} endpoints only")
    for path in ("/api/v1/workers", "/api/v1/sessions", "/api/v1/audit", "/metrics"):
        status, _ = _answer(target, path)
        found.require(status in (401, 403), f"{path} answers {status} without a token")
    found.note(
        f"{target.web_url}: a sign-in page, {endpoints} endpoints, and 401 without a token",
        endpoints=endpoints,
    )


def security(target: Target, found: Findings) -> None:
    """Signatures, sealed logins, the audit log, and a Redis that cannot split."""
    context = target.context
    vault = context.servers.vault()
    check_vault(vault)
    _signatures(SigningKeys(vault.signing_keys()), found)
    client = context.servers.redis()
    try:
        require_safe(client)
    except AfxError as error:
        found.problems.append(str(error))
    verdict = audit_log.verify(context)
    for fault in verdict.faults:
        found.problems.append(f"audit log: {fault}")
    refused = {
        "reports": refused_count(client),
        "jobs": refused_jobs.count(client),
        "specs": refused_specs.count(client),
    }
    found.note(
        f"a changed, foreign or unsigned job is refused; {verdict.entries} audit entries are "
        f"sealed in one chain; stored logins open with this key only; refused so far: "
        + ", ".join(f"{count} {name}" for name, count in refused.items()),
        audit_entries=verdict.entries,
        **{f"refused_{name}": count for name, count in refused.items()},
    )
    url = context.settings.redis_url
    if urlsplit(url).scheme == "redis" and urlsplit(url).hostname not in (
        "127.0.0.1",
        "::1",
        "localhost",
    ):
        found.not_done.append("Redis is reached without TLS; use rediss://, or a private network")


def _signatures(signing: SigningKeys, found: Findings) -> None:
    text = b"a job of the verification"
    signature = signing.sign(b"job", text)
    signing.verify(b"job", text, signature)
    foreign = SigningKeys([b"another key of 32 bytes, not ours"]).sign(b"job", text)
    for what, context, content, sealed in (
        ("a changed job", b"job", text + b"!", signature),
        ("a job signed for another purpose", b"report", text, signature),
        ("a job signed with another key", b"job", text, foreign),
        ("an unsigned job", b"job", text, b""),
    ):
        try:
            signing.verify(context, content, sealed)
        except SignatureError:
            continue
        found.problems.append(f"{what} is accepted")


def _answer(target: Target, path: str) -> tuple[int, bytes]:
    """Return status and body; raises AfxError when no answer comes as long as a test may take."""
    try:
        return _get(target.web_url, path, target.seconds)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise AfxError(
            f"{path} of {target.web_url} did not answer within {target.seconds:g} s ({reason})."
        ) from error


def _get(base: str, path: str, seconds: float) -> tuple[int, bytes]:
    """Return status and body; raises OSError when nothing answers."""
    request = urllib.request.Request(base.rstrip("/") + path, headers={"accept": "*/*"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return int(answer.status), answer.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


def _endpoints(text: bytes) -> int:
    try:
        paths = json.loads(text)["paths"]
        return sum(len(it) for it in paths.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
