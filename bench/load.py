"""A load generator on plain sockets: so many connections, each asking again as soon as it was answered."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one run: answers a second, and latencies in milliseconds, sorted."""

    calls: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.calls / self.seconds

    def percentile(self, percent: float) -> float:
        """A latency in milliseconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One kept-alive connection to a server on loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._reader = reader
        self._writer = writer
        self._port = port

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, port)

    def request(self, headers: Mapping[str, str], body: Any) -> bytes:
        """A POST to `/mcp`, ready to be sent again and again."""
        encoded = json.dumps(body).encode()
        lines = [
            "POST /mcp HTTP/1.1",
            f"host: localhost:{self._port}",
            "content-type: application/json",
            f"content-length: {len(encoded)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + encoded

    async def send(self, request: bytes) -> Answer:
        """Send a request and read the whole answer."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = await self._read_chunks()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                return body
            body += chunk[:-2]

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()


async def run(connections: list[tuple[Connection, bytes]], seconds: float, expected: bytes) -> Load:
    """Keep every connection busy for so long; every answer must be 200 and hold what is expected."""
    latencies: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def keep_busy(connection: Connection, request: bytes) -> None:
        while (sent := time.perf_counter()) < until:
            answer = await connection.send(request)
            latencies.append((time.perf_counter() - sent) * 1000)
            if answer.status != 200 or expected not in answer.body:
                raise RuntimeError(f"a call failed: {answer.status} {answer.body[:200]!r}")

    await asyncio.gather(*(keep_busy(*pair) for pair in connections))
    return Load(len(latencies), time.perf_counter() - began, sorted(latencies))
