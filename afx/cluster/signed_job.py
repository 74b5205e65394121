"""RQ's job, with a signature, and without the ways in which RQ resolves names.

Stock RQ imports a job's function and callbacks by name, and unpickles what it reads.
A ``SignedJob`` is built from a signed envelope only: on the coordinator by ``sealed``, to
be enqueued; on a node by ``admitted``, once the node's gate has admitted it. RQ's own
reading of a job's hash is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from afx.cluster.job_envelope import JobEnvelope, SealedJob, seal_envelope
from afx.cluster.job_gate import AdmittedJob
from afx.cluster.refused_jobs import RefusalReason, RefusedJobError
from afx.security.signing import SigningKeys

RESULT_TTL_SECONDS = 60
FAILURE_TTL_SECONDS = 3600
_TIMEOUT_SECONDS = 60
UNSIGNED_FIELDS = frozenset(
    {
        "created_at",
        "data",
        "description",
        "ended_at",
        "enqueued_at",
        "failure_ttl",
        "last_heartbeat",
        "origin",
        "result_ttl",
        "signature",
        "started_at",
        "status",
        "timeout",
        "ttl",
        "worker_name",
    }
)
"""What the hash of a signed job may hold. Nodes use the data and the signature alone."""


class SignedJob(Job):  # type: ignore[misc]
    """An RQ job that runs only what a signed envelope says."""

    def __init__(
        self, id: str | None = None, connection: Any = None, serializer: Any = None
    ) -> None:
        super().__init__(id, connection, serializer or JSONSerializer)
        self._sealed: SealedJob | None = None
        self._run: Callable[[], Any] | None = None

    @classmethod
    def sealed(
        cls,
        client: redis.Redis,
        keys: SigningKeys,
        envelope: JobEnvelope,
        *,
        description: str,
        ttl_seconds: int | None,
    ) -> SignedJob:
        """Return a job to enqueue."""
        job = cls(envelope.job_id, client)
        job._adopt(envelope, seal_envelope(keys, envelope))
        job.description = description
        job.ttl = ttl_seconds
        return job

    @classmethod
    def admitted(
        cls, client: redis.Redis, queue: str, sealed: SealedJob, admitted: AdmittedJob
    ) -> SignedJob:
        """Return a job to run."""
        job = cls(admitted.envelope.job_id, client)
        job._adopt(admitted.envelope, sealed)
        job._run = admitted.run
        job.origin = queue
        return job

    def _adopt(self, envelope: JobEnvelope, sealed: SealedJob) -> None:
        self._sealed = sealed
        self._func_name = envelope.kind
        self._instance = None
        self._args: list[Any] = []
        self._kwargs: dict[str, Any] = {}
        self._data = b""
        self.description = envelope.kind
        self.created_at = datetime.fromtimestamp(envelope.issued, UTC)
        self.timeout = _TIMEOUT_SECONDS
        self.result_ttl = RESULT_TTL_SECONDS
        self.failure_ttl = FAILURE_TTL_SECONDS

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        """Return the job's hash, with the bytes that were signed."""
        if self._sealed is None:
            raise RefusedJobError(RefusalReason.SIGNATURE, "A job without a signature.")
        fields: dict[str, Any] = super().to_dict(include_meta, include_result)
        fields["data"] = self._sealed.data
        fields["signature"] = self._sealed.signature
        return fields

    def _execute(self) -> Any:
        if self._run is None:
            raise RefusedJobError(RefusalReason.SIGNATURE, "A job that was not admitted.")
        return self._run()

    # --- what RQ would resolve or read by itself --------------------------------------

    def restore(self, *_: Any) -> NoReturn:
        """Refuse: a job is read through a node's gate."""
        raise RefusedJobError(RefusalReason.FORM, "RQ does not read this cluster's jobs by itself.")

    def refresh(self) -> NoReturn:
        """Refuse, as ``restore``."""
        self.restore()

    def _deserialize_data(self) -> NoReturn:
        self.restore()

    @property
    def func(self) -> NoReturn:
        """Refuse: a kind is never imported by its name."""
        self.restore()

    @property
    def success_callback(self) -> None:
        """No job has callbacks."""

    @property
    def failure_callback(self) -> None:
        """No job has callbacks."""

    @property
    def stopped_callback(self) -> None:
        """No job has callbacks."""
