"""A client of few instructions: the benchmark of the API must not measure its own client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Connection:
    """One connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def send(self, request: bytes) -> int:
        """Return the status of the answer, whose body is read and dropped."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length: ")
        if rest:
            await self.reader.readexactly(int(rest.partition(b"\r")[0]))
        return int(head[9:12])

    def close(self) -> None:
        self.writer.close()


@dataclass(slots=True)
class Taken:
    """What requests took, in milliseconds."""

    times: list[float] = field(default_factory=list)
    wrong: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.times) / self.seconds if self.seconds else 0.0


def request(
    method: str, path: str, token: str, body: bytes = b"", headers: Sequence[str] = ()
) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer {token}",
        *headers,
    ]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def as_fast_as_possible(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float
) -> Taken:
    """Send requests in turn, on each connection one after the other."""
    taken = Taken()
    began = time.perf_counter()

    async def client(first: int) -> None:
        connection = await Connection.to(port)
        number = first
        while (now := time.perf_counter()) < began + seconds:
            status = await connection.send(requests[number % len(requests)])
            number += 1
            taken.times.append((time.perf_counter() - now) * 1000)
            taken.wrong += status >= 300
        connection.close()

    await asyncio.gather(*(client(it) for it in range(connections)))
    taken.seconds = time.perf_counter() - began
    return taken


async def at_a_rate(
    port: int, requests: Sequence[bytes], *, per_second: float, seconds: float
) -> Taken:
    """Send requests at their times, whether earlier ones are answered or not."""
    taken = Taken()
    free: list[Connection] = []
    began = time.perf_counter()

    async def one(due: float, content: bytes) -> None:
        connection = free.pop() if free else await Connection.to(port)
        status = await connection.send(content)
        taken.times.append((time.perf_counter() - due) * 1000)
        taken.wrong += status >= 300
        free.append(connection)

    tasks = []
    for number in range(int(per_second * seconds)):
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(due, requests[number % len(requests)])))
    await asyncio.gather(*tasks)
    taken.seconds = time.perf_counter() - began
    for it in free:
        it.close()
    return taken
