"""The gate of signed jobs: what it admits, and what it refuses before anything is read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.cluster.job_envelope import (
    SEALED_LIMIT,
    JobEnvelope,
    SealedJob,
    open_envelope,
    seal_envelope,
)
from afx.cluster.job_gate import JobGate, JobKind
from afx.cluster.refused_jobs import RefusalReason, RefusedJobError
from afx.cluster.session_orders import SessionOrder, encode_order, parse_order
from afx.security.signing import SigningKeys

KEYS = SigningKeys([b"k" * 32])
OTHER_KEYS = SigningKeys([b"x" * 32])
GOOD = JobEnvelope(
    purpose="order",
    audience="one",
    job_id="job-1",
    kind="a.kind",
    arguments={"a": 1},
    issued=1000.0,
    expires=1060.0,
    nonce="nonce-1",
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def new_gate(clock: Callable[[], float], ran: list[Any] | None = None) -> JobGate:
    def parse(arguments: Mapping[str, Any]) -> Any:
        if set(arguments) != {"a"}:
            raise ValueError("only a")
        return arguments["a"]

    kinds = {"a.kind": JobKind(parse, (ran if ran is not None else []).append)}
    return JobGate(keys=KEYS, purpose="order", audience="one", kinds=kinds, clock=clock)


def refusal(
    sealed: SealedJob, *, gate: JobGate | None = None, job_id: str = "job-1"
) -> RefusalReason:
    with pytest.raises(RefusedJobError) as refused:
        (gate or new_gate(Clock())).admit(job_id, sealed)
    return refused.value.reason


def signed(data: bytes) -> SealedJob:
    return SealedJob(data, KEYS.sign(b"afx job", data))


def signed_call(call: Any) -> SealedJob:
    return signed(zlib.compress(json.dumps(call).encode()))


def test_a_signed_job_is_admitted_and_runs_with_its_arguments() -> None:
    ran: list[Any] = []
    admitted = new_gate(Clock(), ran).admit("job-1", seal_envelope(KEYS, GOOD))
    assert admitted.envelope == GOOD
    admitted.run()
    assert ran == [1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"purpose": "task"}, RefusalReason.PURPOSE),
        ({"audience": "two"}, RefusalReason.AUDIENCE),
        ({"job_id": "job-2"}, RefusalReason.JOB_ID),
        ({"kind": "os.system"}, RefusalReason.UNKNOWN_KIND),
        ({"arguments": {"a": 1, "b": 2}}, RefusalReason.ARGUMENTS),
        ({"expires": 999.0}, RefusalReason.EXPIRED),
    ],
)
def test_a_signed_job_for_anything_else_is_refused(change: Any, reason: RefusalReason) -> None:
    assert refusal(seal_envelope(KEYS, replace(GOOD, **change))) is reason


def test_a_job_is_admitted_once_until_it_expires_and_not_after() -> None:
    clock = Clock()
    gate, sealed = new_gate(clock), seal_envelope(KEYS, GOOD)
    gate.admit("job-1", sealed)
    assert refusal(sealed, gate=gate) is RefusalReason.REPLAYED
    clock.now = 1060.5
    assert refusal(sealed, gate=gate) is RefusalReason.EXPIRED


def test_a_nonce_is_not_used_under_two_ids() -> None:
    gate = new_gate(Clock())
    gate.admit("job-1", seal_envelope(KEYS, GOOD))
    again = seal_envelope(KEYS, replace(GOOD, job_id="job-2"))
    assert refusal(again, gate=gate, job_id="job-2") is RefusalReason.REPLAYED


def test_a_job_of_another_key_is_refused() -> None:
    assert refusal(seal_envelope(OTHER_KEYS, GOOD)) is RefusalReason.SIGNATURE


@given(st.data())
def test_a_job_with_one_byte_changed_is_refused(data: st.DataObject) -> None:
    sealed = seal_envelope(KEYS, GOOD)
    raw = bytearray(sealed.data)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert refusal(SealedJob(bytes(raw), sealed.signature)) is RefusalReason.SIGNATURE


@given(st.binary(max_size=300), st.binary(max_size=130))
def test_random_bytes_are_refused(data: bytes, signature: bytes) -> None:
    assert refusal(SealedJob(data, signature)) in RefusalReason


def test_what_is_too_large_is_refused_before_its_signature_is_computed() -> None:
    assert refusal(SealedJob(b"x" * (SEALED_LIMIT + 1), b"")) is RefusalReason.TOO_LARGE


def test_a_payload_that_expands_beyond_its_limit_is_refused() -> None:
    bomb = zlib.compress(b" " * 50_000_000, 9)
    assert len(bomb) < SEALED_LIMIT
    assert refusal(signed(bomb)) is RefusalReason.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not zlib",
        zlib.compress(b"[]") + b"more",
        zlib.compress(b"[" * 1000)[:-3],
        zlib.compress(b"\xff\xfe"),
        zlib.compress(b"[" * 200_000 + b"]" * 50_000),
        zlib.compress(b'["a.kind", null, [], NaN]'),
    ],
    ids=["empty", "not zlib", "more", "cut off", "not UTF-8", "nested", "NaN"],
)
def test_even_a_signed_payload_must_have_its_form(data: bytes) -> None:
    assert refusal(signed(data)) is RefusalReason.FORM


FIELDS = {
    "version": 1,
    "purpose": "order",
    "audience": "one",
    "job_id": "job-1",
    "arguments": {"a": 1},
    "issued": 1000.0,
    "expires": 1060.0,
    "nonce": "nonce-1",
}


@pytest.mark.parametrize(
    "call",
    [
        ["a.kind", "instance", [], FIELDS],
        ["a.kind", None, [1], FIELDS],
        ["a.kind", None, [], {**FIELDS, "more": 1}],
        ["a.kind", None, [], {**FIELDS, "version": 2}],
        ["a.kind", None, [], {**FIELDS, "nonce": 1}],
        ["a.kind", None, [], {**FIELDS, "expires": True}],
        ["a.kind", None, [], {**FIELDS, "expires": float("inf")}],
        ["a.kind", None, [], {**FIELDS, "arguments": [1]}],
        [["a.kind"], None, [], FIELDS],
        ["a.kind", None, []],
        {"a.kind": FIELDS},
        "a.kind",
    ],
)
def test_even_a_signed_call_must_have_its_form(call: Any) -> None:
    assert refusal(signed_call(call)) is RefusalReason.FORM


@pytest.mark.parametrize("job_id", ["", "a b", "a:b", "x" * 65, "é", "../x", "a\n"])
def test_a_malformed_id_is_refused(job_id: str) -> None:
    sealed = seal_envelope(KEYS, replace(GOOD, job_id=job_id))
    assert refusal(sealed, job_id=job_id) is RefusalReason.JOB_ID


def test_an_envelope_survives_a_round_trip() -> None:
    assert open_envelope(KEYS, seal_envelope(KEYS, GOOD)) == GOOD


def test_an_order_survives_a_round_trip() -> None:
    order = SessionOrder(3, ((7, 5), (8, 6)))
    assert parse_order(json.loads(json.dumps(encode_order(order)))) == order


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"term": 1},
        {"term": 1, "sessions": [], "more": 1},
        {"term": True, "sessions": []},
        {"term": -1, "sessions": []},
        {"term": 1, "sessions": {}},
        {"term": 1, "sessions": [[1]]},
        {"term": 1, "sessions": [[1, 2, 3]]},
        {"term": 1, "sessions": [[1, "2"]]},
        {"term": 1, "sessions": [[1, 2.0]]},
        {"term": 1, "sessions": [[1, 2**63]]},
        {"term": 1, "sessions": [[1, 2]] * 101},
    ],
)
def test_arguments_that_are_not_an_order_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"order"):
        parse_order(arguments)
