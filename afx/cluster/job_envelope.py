"""What a signed job says, and the bytes in which it travels.

RQ keeps a job's call as ``[function, instance, args, kwargs]``, as JSON in zlib. Ours is
``[kind, null, [], envelope]``: RQ's tools can show it, and the signature covers the
compressed bytes as they lie in Redis. ``open_envelope`` checks in the order of trust:
size, signature, and only then what is inside.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

from afx.cluster.refused_jobs import RefusalReason, RefusedJobError
from afx.security.signing import SignatureError, SigningKeys

SEALED_LIMIT = 64 * 1024
SIGNATURE_LIMIT = 128
_PLAIN_LIMIT = 256 * 1024
_VERSION = 1
_CONTEXT = b"afx job"
_FIELDS = {
    "version",
    "purpose",
    "audience",
    "job_id",
    "arguments",
    "issued",
    "expires",
    "nonce",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class JobEnvelope:
    """One job: for whom, what, and until when."""

    purpose: str
    audience: str
    """Who alone may run it: an incarnation of a node."""
    job_id: str
    kind: str
    arguments: dict[str, Any]
    issued: float
    expires: float
    """Wall-clock time: it bounds replay, and no decision about leases rests on it."""
    nonce: str


@dataclass(slots=True, frozen=True)
class SealedJob:
    """A job's bytes, as Redis keeps them."""

    data: bytes
    signature: bytes


def seal_envelope(keys: SigningKeys, envelope: JobEnvelope) -> SealedJob:
    """Return the signed bytes of a job."""
    fields = {
        "version": _VERSION,
        "purpose": envelope.purpose,
        "audience": envelope.audience,
        "job_id": envelope.job_id,
        "arguments": envelope.arguments,
        "issued": envelope.issued,
        "expires": envelope.expires,
        "nonce": envelope.nonce,
    }
    text = json.dumps([envelope.kind, None, [], fields], sort_keys=True, separators=(",", ":"))
    data = zlib.compress(text.encode())
    return SealedJob(data, keys.sign(_CONTEXT, data))


def open_envelope(keys: SigningKeys, sealed: SealedJob) -> JobEnvelope:
    """Return what a sealed job says; raises RefusedJobError when it is not valid."""
    if len(sealed.data) > SEALED_LIMIT or len(sealed.signature) > SIGNATURE_LIMIT:
        raise RefusedJobError(RefusalReason.TOO_LARGE, "The job is too large.")
    try:
        keys.verify(_CONTEXT, sealed.data, sealed.signature)
    except SignatureError as error:
        raise RefusedJobError(RefusalReason.SIGNATURE, str(error)) from error
    return _parse(_decompress(sealed.data))


def _decompress(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, _PLAIN_LIMIT + 1)
    except zlib.error as error:
        raise RefusedJobError(RefusalReason.FORM, "The payload is not zlib data.") from error
    if len(plain) > _PLAIN_LIMIT:
        raise RefusedJobError(RefusalReason.TOO_LARGE, "The payload expands beyond its limit.")
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedJobError(RefusalReason.FORM, "The payload is cut off, or goes on.")
    return plain


def _parse(plain: bytes) -> JobEnvelope:
    try:
        call = json.loads(plain)
    except (ValueError, RecursionError) as error:
        raise RefusedJobError(RefusalReason.FORM, "The payload is not JSON.") from error
    match call:
        case [str() as kind, None, [], dict() as fields]:
            pass
        case _:
            raise RefusedJobError(RefusalReason.FORM, "The payload is not a call of a kind.")
    if set(fields) != _FIELDS or fields["version"] != _VERSION:
        raise RefusedJobError(RefusalReason.FORM, "The envelope has other fields than expected.")
    texts = [fields[name] for name in ("purpose", "audience", "job_id", "nonce")]
    times = [fields[name] for name in ("issued", "expires")]
    if not (
        all(type(it) is str for it in texts)
        and all(type(it) in (int, float) and math.isfinite(it) for it in times)
        and type(fields["arguments"]) is dict
    ):
        raise RefusedJobError(RefusalReason.FORM, "The envelope has values of other types.")
    return JobEnvelope(
        purpose=fields["purpose"],
        audience=fields["audience"],
        job_id=fields["job_id"],
        kind=kind,
        arguments=fields["arguments"],
        issued=fields["issued"],
        expires=fields["expires"],
        nonce=fields["nonce"],
    )
