"""Decides whether a job may run here: signature, audience, age, kind, arguments, replay."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from afx.cluster.job_envelope import JobEnvelope, SealedJob, open_envelope
from afx.cluster.refused_jobs import RefusalReason, RefusedJobError
from afx.cluster.taken_jobs import TakenJobs
from afx.security.signing import SigningKeys

_MOST_TAKEN = 100_000
"""Jobs that are remembered: those of the last half minute at 3,000 a second."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True, frozen=True)
class JobKind:
    """How a kind's arguments are read, and what runs it.

    ``parse`` raises ValueError for arguments outside the kind's schema.
    """

    parse: Callable[[Mapping[str, Any]], Any]
    run: Callable[[Any], Any]


@dataclass(slots=True, frozen=True)
class AdmittedJob:
    """A job that may run, once."""

    envelope: JobEnvelope
    run: Callable[[], Any]


class JobGate:
    """Admits each signed job at most once while it is valid.

    Only kinds of the given registry are admitted; nothing is ever imported by name.
    """

    def __init__(
        self,
        *,
        keys: SigningKeys,
        purpose: str,
        audience: str,
        kinds: Mapping[str, JobKind],
        also_for: frozenset[str] = frozenset(),
        clock: Callable[[], float],
    ) -> None:
        """Make a gate for an audience, and for others that it belongs to.

        ``clock`` returns wall-clock seconds, as the signer's does.
        """
        self._keys = keys
        self._purpose = purpose
        self._audiences = also_for | {audience}
        self._kinds = dict(kinds)
        self._clock = clock
        self._taken = TakenJobs(_MOST_TAKEN)

    def admit(self, job_id: str, sealed: SealedJob) -> AdmittedJob:
        """Return the job, ready to run; raises RefusedJobError when it may not run."""
        if not is_job_id(job_id):
            raise RefusedJobError(RefusalReason.JOB_ID, "The job's id is malformed.")
        envelope = open_envelope(self._keys, sealed)
        now = self._clock()
        self._check(envelope, job_id, now)
        kind = self._kinds.get(envelope.kind)
        if kind is None:
            raise RefusedJobError(RefusalReason.UNKNOWN_KIND, "This node has no such kind of job.")
        try:
            arguments = kind.parse(envelope.arguments)
        except ValueError as error:
            raise RefusedJobError(RefusalReason.ARGUMENTS, str(error)) from error
        self._taken.claim(envelope.nonce, issued=envelope.issued, expires=envelope.expires, now=now)
        return AdmittedJob(envelope, partial(kind.run, arguments))

    def _check(self, envelope: JobEnvelope, job_id: str, now: float) -> None:
        if envelope.purpose != self._purpose:
            raise RefusedJobError(RefusalReason.PURPOSE, "The job was signed for another purpose.")
        if envelope.audience not in self._audiences:
            raise RefusedJobError(RefusalReason.AUDIENCE, "The job is for another node.")
        if envelope.job_id != job_id:
            raise RefusedJobError(RefusalReason.JOB_ID, "The job was signed under another id.")
        if envelope.expires < now:
            raise RefusedJobError(
                RefusalReason.EXPIRED, "The job has expired; the coordinator sends it again."
            )


def is_job_id(text: str) -> bool:
    """Return whether a text may be the id of one of our jobs."""
    return _JOB_ID.fullmatch(text) is not None
