"""What a node reads of a session from Redis: whatever it is, it harms no other session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis as redis_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hosts import SESSION, HostBench, host_on
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule
from support.specs import SIGNING_KEYS
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.node.preparation import StartError
from afx.node.redis_trouble import RedisTrouble
from afx.node.session_loader import load
from afx.reasons import FailureReason
from afx.telegram.session import MalformedPositionError, StoredSession

RAW = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda it: it.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"[" * 5_000, b'{"rules":[{"id":{}}]}', b"NaN", b'{"session":1e999}']),
)
FIELD = st.one_of(
    st.sampled_from(["account", "channel:5", "last:5", "last:-1005"]),
    st.text(max_size=20),
)
VALUE = st.one_of(st.text(max_size=40), st.integers().map(str), st.just("1:2:3"), st.just("1:2"))


def login() -> str:
    session = StringSession()
    session.set_dc(2, "127.0.0.1", 1)
    session.auth_key = AuthKey(bytes(256))
    return str(session.save())


LOGIN = login()


@given(raw=st.tuples(RAW, RAW, RAW), kinds=st.tuples(*[st.sampled_from("ghl")] * 3))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_lies_under_a_sessions_keys_each_session_of_the_order_gets_an_answer(
    redis: redis_module.Redis,
    redis_url: str,
    raw: tuple[bytes, bytes, bytes],
    kinds: tuple[str, str, str],
) -> None:
    names = (keys.spec(1), keys.cursor(1), keys.entities(1))
    redis.delete(*names)
    for name, value, kind in zip(names, raw, kinds, strict=True):
        if kind == "g":
            redis.set(name, value)
        elif kind == "h":
            redis.hset(name, mapping={value: value})
        else:
            redis.rpush(name, value)

    async def read() -> None:
        client = connect_async(redis_url)
        trouble = RedisTrouble(lambda _: None)
        async with asyncio.timeout(10):
            assert len(await load(client, SIGNING_KEYS, [(1, 5), (2, 5)], trouble)) == 2
        await client.aclose()

    asyncio.run(read())


@given(cursors=st.dictionaries(FIELD, VALUE), hashes=st.dictionaries(FIELD, VALUE))
def test_stored_positions_are_numbers_or_malformed_and_access_hashes_are_numbers(
    cursors: dict[str, str], hashes: dict[str, str]
) -> None:
    stored = StoredSession(LOGIN, cursors, hashes)
    for read in (
        stored.account_cursor,
        lambda: stored.channel_cursor(5),
        lambda: stored.last_id(5),
        lambda: stored.last_id(-1005),
    ):
        try:
            found = read()
        except MalformedPositionError:
            continue
        numbers = found if isinstance(found, tuple) else (found or 0,)
        assert all(0 <= it < 2**31 for it in numbers)
    assert all(-(2**63) <= int(it) < 2**63 for it in stored.hashes.values())


@pytest.mark.parametrize("field", ["account", "channel:{0.id}", "last:{0.marked}"])
@pytest.mark.parametrize("value", ["x", "1:2", "-5", "9" * 12])
def test_a_malformed_position_is_a_reason_not_to_start(field: str, value: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        cursors = {field.format(source): value}
        session = harness.session(account, (source, to, "copy"), cursors=cursors)
        with pytest.raises(StartError) as raised:
            await session.start()
        assert raised.value.reason is FailureReason.STATE_MALFORMED
        await session.stop()

    run_scenario(scenario)


def test_an_order_with_a_bad_spec_starts_its_other_sessions_and_its_stop_is_answered(
    redis_url: str, redis: redis_module.Redis, home: Any
) -> None:
    async def main(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, home) as host:
            bench = HostBench(sandbox, host, redis)
            bench.assign(5)
            bench.publish(5)
            redis.set(keys.spec(SESSION + 1), b"\xff" * 100)
            await host.order_start(1, [(SESSION + 1, 5), (SESSION, 5)])
            await until(lambda: len(bench.reported()) == 2)
            assert sorted(bench.reported()) == [("failed", 5), ("running", 5)]
            await host.order_stop(1, [(SESSION + 1, 5)])
            assert bench.reported()[-1] == ("stopped", 5)

    run_scenario(main)


def test_a_start_whose_spec_cannot_be_read_for_any_reason_fails_and_is_answered(
    redis_url: str, redis: redis_module.Redis, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError("an error that nobody expected")

    monkeypatch.setattr("afx.node.session_runner.load", fail)

    async def main(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, home) as host:
            bench = HostBench(sandbox, host, redis)
            await host.order_start(1, [(SESSION, 5)])
            await until(lambda: bench.reported() == [("failed", 5)])

    run_scenario(main)


def test_only_the_chats_of_the_rules_are_remembered() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        for _ in range(20):
            sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        assert set(session._stored.hashes) == {str(source.marked), str(to.marked)}
        assert set(session.collect_uncommitted().entities) == set(session._stored.hashes)
        await session.stop()

    run_scenario(scenario)
