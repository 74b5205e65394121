"""What the threads of outputs begin, and what holds them up."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from afx.forwarding.pipeline import Delivery
from afx.node import outputs as module
from afx.node.outputs import Output, Outputs, SessionOutputs
from afx.security.cut_line import Line
from afx.security.login_servers import parse_networks
from afx.security.webhook_request import Result, post


def delivery(number: int) -> Delivery:
    return Delivery(
        rule=1,
        mode="copy",
        source=-1_000_000_000_001,
        message=number,
        destination=5,
        random_id=number,
        text="x",
        entities=(),
        needs_native_forward=False,
    )


class Hook:
    """Counts requests; those to a slow receiver wait until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()

    def post(self, url: str, *_: Any, **__: Any) -> Result:
        self.begun.append(url)
        if "slow" in url:
            self.go.wait(5)
        return Result(200)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.begun) < count:
                await asyncio.sleep(0.005)


def shared(hook: Hook, directory: str = "") -> Outputs:
    return Outputs(
        directory=directory,
        networks=[],
        secrets=lambda _session, _url: ["key"],
        may_write=lambda: True,
        post=hook.post,
    )


def output(outputs: SessionOutputs, text: str) -> Output:
    number = outputs.learn(text)
    assert number is not None
    found = outputs.of(number)
    assert found is not None
    return found


def files(directory: Path) -> list[Path]:
    return list(directory.rglob("*.jsonl"))


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_cancelled_lane_begins_no_request_more(
    monkeypatch: pytest.MonkeyPatch, is_quick: bool
) -> None:
    """It waits for the one in flight, but not for ever."""
    monkeypatch.setattr(module, "_END_SECONDS", 2.0 if is_quick else 0.05)

    async def scenario() -> None:
        hook = Hook()
        outputs = shared(hook)
        slow = output(SessionOutputs(outputs, 1), "webhook:https://slow.example/")
        sending = asyncio.create_task(slow.send([delivery(it) for it in range(6)]))
        await hook.until(1)
        sending.cancel()
        await asyncio.sleep(0.01)
        assert not sending.done()
        if is_quick:
            hook.go.set()
        await asyncio.wait({sending}, timeout=1.0)
        assert sending.cancelled()
        hook.go.set()
        await asyncio.sleep(0.05)
        assert len(hook.begun) == 1
        assert [it.result for it in await slow.send([delivery(0)])] == ["sent"]
        outputs.close()

    asyncio.run(scenario())


def test_a_cancelled_lane_writes_nothing_that_its_thread_has_not_begun(tmp_path: Path) -> None:
    async def scenario() -> None:
        outputs = shared(Hook(), str(tmp_path))
        file = output(SessionOutputs(outputs, 1), "file:news.jsonl")
        with file._lock:
            sending = asyncio.create_task(file.send([delivery(1)]))
            await asyncio.sleep(0.05)
            sending.cancel()
            await asyncio.sleep(0.01)
        await asyncio.wait({sending})
        assert not files(tmp_path)
        await file.send([delivery(1)])
        assert files(tmp_path)
        outputs.close()

    asyncio.run(scenario())


def test_slow_receivers_of_one_session_do_not_hold_up_another() -> None:
    async def scenario() -> None:
        hook = Hook()
        outputs = shared(hook)
        first, other = SessionOutputs(outputs, 1), SessionOutputs(outputs, 2)
        slow = [output(first, f"webhook:https://slow.example/{it}") for it in range(9)]
        sending = [asyncio.create_task(it.send([delivery(1)])) for it in slow]
        await hook.until(2)
        quick = output(other, "webhook:https://quick.example/")
        async with asyncio.timeout(2):
            await quick.send([delivery(1)])
        assert len(hook.begun) == 3
        hook.go.set()
        await asyncio.gather(*sending)
        assert len(hook.begun) == 10
        outputs.close()

    asyncio.run(scenario())


def test_slow_receivers_of_many_sessions_do_not_hold_up_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        hook = Hook()
        outputs = shared(hook)
        slow = [
            output(SessionOutputs(outputs, session), f"webhook:https://slow.example/{it}")
            for session in range(9)
            for it in range(2)
        ]
        hook.go.set()
        monkeypatch.setattr(module, "_SLOW_SECONDS", -1.0)  # once each has been slow
        await asyncio.gather(*(it.send([delivery(1)]) for it in slow))
        monkeypatch.undo()
        hook.go.clear()
        sending = [asyncio.create_task(it.send([delivery(2)])) for it in slow]
        await hook.until(len(slow) + 8)
        quick = output(SessionOutputs(outputs, 99), "webhook:https://quick.example/")
        assert [it.result for it in await quick.send([delivery(1)])] == ["sent"]
        assert len(hook.begun) == len(slow) + 9, "the others wait for the slow ones' threads"
        hook.go.set()
        await asyncio.gather(*sending)
        outputs.close()

    asyncio.run(scenario())


def test_a_request_that_is_not_answered_is_cut_when_its_lane_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stopped session posts nothing more: its next owner may be sending already."""
    monkeypatch.setattr(module, "_END_SECONDS", 0.05)
    monkeypatch.setattr(module, "_CUT_SECONDS", 60.0)

    async def scenario() -> None:
        begun: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda _, writer: begun.put_nowait(writer), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        outputs = Outputs(
            directory="",
            networks=parse_networks("127.0.0.0/8"),
            secrets=lambda _session, _url: ["key"],
            may_write=lambda: True,
        )
        silent = output(SessionOutputs(outputs, 1), f"webhook:http://127.0.0.1:{port}/")
        sending = asyncio.create_task(silent.send([delivery(1)]))
        writer = await begun.get()
        at = asyncio.get_running_loop().time()
        sending.cancel()
        await asyncio.wait({sending})
        assert asyncio.get_running_loop().time() - at < 9, "before its deadline of ten seconds"
        assert silent._failures == 0 and not silent._lock.locked()
        writer.close()
        server.close()
        outputs.close()

    asyncio.run(scenario())


def test_what_is_cut_before_it_connects_does_not_connect() -> None:
    line = Line()
    line.cut()
    result = post("http://127.0.0.1:9/", b"", {}, networks=parse_networks("127.0.0.0/8"), line=line)
    assert line.is_ended and result.status is None and "connection failed" in result.error
