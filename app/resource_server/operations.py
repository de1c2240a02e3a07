"""What a POST to the MCP endpoint is about to do, read from its body and from nothing else.

A header may say something else than the body, and clients before 2026-07-28 send none; so neither decides. The body
is read as the SDK reads it: `json.loads` takes all that `pydantic_core.from_json` takes and finds the same in it, and
what it can't read goes no further.
"""

import json
from typing import NamedTuple

from starlette.types import Message, Receive

from app.resource_server.requirements import Requirements

_LARGEST = 4 * 1024 * 1024


class Operation(NamedTuple):
    """One JSON-RPC message: its method, and parameters of any kind."""

    method: str
    params: object


class UnreadableBody(Exception):
    """The body is no JSON, or none that this process can hold."""


class BodyTooLarge(Exception):
    """The body is larger than any that the MCP SDK takes."""


class Disconnected(Exception):
    """The client went away before it had said everything."""


def parse_operations(body: bytes) -> list[Operation]:
    """The operations of a body: one, or those of a batch (2025-03-26); what is no JSON-RPC message is none.

    Raises:
        UnreadableBody: it is not JSON.
    """
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableBody from None
    entries = decoded if isinstance(decoded, list) else [decoded]
    return [
        Operation(entry["method"], entry.get("params"))
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("method"), str)
    ]


def needed_scopes(body: bytes, requirements: Requirements) -> frozenset[str]:
    """Everything that the operations of a body need beyond what the resource asks of everyone.

    Raises:
        UnreadableBody: it is not JSON.
    """
    needed: frozenset[str] = frozenset()
    for method, params in parse_operations(body):
        needed |= requirements.of(method, params)
    return needed


async def read_body(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that tells it once more and then goes on with what follows.

    Raises:
        BodyTooLarge, Disconnected.
    """
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _LARGEST:
            raise BodyTooLarge
        more = message.get("more_body", False)
    body = b"".join(chunks)
    told = False

    async def receive_again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, receive_again
