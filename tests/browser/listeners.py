"""Where apps wait for the answer: small servers on this computer that note every request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PAGE = b'<!doctype html><html lang="en"><title>Arrived</title><link rel="icon" href="data:,"><h1>Arrived</h1>'


@dataclass(frozen=True)
class Arrival:
    """One request that reached an app."""

    method: str
    host: str
    target: str
    headers: dict[str, str]


@dataclass
class Listener:
    """An app's server. A path below `onward` is answered with a redirect to where it says."""

    port: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    onward: dict[str, str] = field(default_factory=dict)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, then the end of the connection."""
        try:
            first = (await reader.readline()).decode("latin-1").split(" ")
            headers = {}
            while (line := (await reader.readline()).decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            if len(first) == 3:
                writer.write(self._note(Arrival(first[0], headers.get("host", ""), first[1], headers)))
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            # A browser opens connections that it does not use.
            return
        finally:
            writer.close()

    def _note(self, arrival: Arrival) -> bytes:
        if "favicon" in arrival.target:
            return b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        self.arrivals.append(arrival)
        onward = self.onward.get(arrival.target.partition("?")[0])
        if onward is not None:
            return f"HTTP/1.1 302 Found\r\nLocation: {onward}\r\nConnection: close\r\n\r\n".encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
        return head + str(len(PAGE)).encode() + b"\r\n\r\n" + PAGE


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    """A listener on a free port of this computer."""
    listener = Listener()
    server = await asyncio.start_server(listener.answer, "127.0.0.1", 0, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
