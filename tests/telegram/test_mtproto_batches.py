"""A batch of requests goes out in several packets, and keeps its order."""

from __future__ import annotations

from support.mtproto_line import Line, ServerKey, run, turn
from telethon.tl import functions, types

from afx.sandbox.mtproto import crypto


def test_a_large_batch_goes_out_in_several_packets_each_request_after_the_one_before() -> None:
    async def scenario(line: Line) -> None:
        line.sender.send([functions.help.GetConfigRequest() for _ in range(30)], ordered=True)
        await turn()
        sent = [it for packet in line.connection.written for it in packet]
        assert len(sent) == 30
        assert max(map(len, line.connection.written)) < 30
        after = [getattr(it.request, "msg_id", None) for it in sent]
        assert after == [None, *(it.msg_id for it in sent[:-1])]

    run(scenario)


def test_a_batch_of_several_packets_that_are_all_refused_is_sent_again_in_its_order() -> None:
    async def scenario(line: Line) -> None:
        outer: list[int] = []
        write = line.connection.write

        def noting(data: bytes) -> None:
            plain = crypto.decrypt(ServerKey, data)
            assert plain is not None
            outer.append(crypto.HEADER.unpack_from(plain)[-3])
            write(data)

        line.connection.write = noting  # type: ignore[method-assign]
        line.sender.send([functions.PingRequest(it) for it in range(30)])
        await turn()
        for it in tuple(outer):
            line.push(types.BadServerSalt(it, 0, 48, 99))
        await turn()
        again = [it for packet in line.sent for it in packet][30:]
        assert [it.ping_id for it in again if isinstance(it, functions.PingRequest)] == [*range(30)]

    run(scenario)
