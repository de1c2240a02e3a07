"""The decision about a tool's scope follows the body as the MCP SDK reads it, whatever is done to hide it. RSV-9."""

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pydantic_core
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.local_verifier import DatabaseRevocations
from app.resource_server import requirements
from app.resource_server.challenge import Challenges
from app.resource_server.middleware import BearerGuard, OriginCheck
from app.resource_server.operations import UnreadableBody, parse_operations
from app.resource_server.requirements import Requirements
from app.resource_server.revocations import Revocations
from app.resource_server.verifier import AccessTokenVerifier
from tests import scoped_server
from tests.mcp_client import ACCEPT, message_of
from tests.support.world import mcp_call, mcp_headers
from tests.test_tool_scopes import Scoped, assert_insufficient, nothing_ran, scoped

pytest_plugins = ["tests.standing"]
__all__ = ["nothing_ran", "scoped"]

MODERN = {name.replace("-", "_"): value for name, value in mcp_headers(None, "read_note").items()}
CALL = mcp_call("read_note", {})
HARMLESS = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "hello", "arguments": {}}}


def text_of(call: Any = CALL) -> str:
    """The JSON of a call."""
    return json.dumps(call)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"mcp_name": "hello"}, id="another name"),
        pytest.param({"mcp_name": None}, id="no name"),
        pytest.param({"mcp_method": "tools/list"}, id="another method"),
        pytest.param({"mcp_method": None, "mcp_name": None, "mcp_protocol_version": None}, id="no headers"),
        pytest.param({"mcp_protocol_version": "2025-11-25"}, id="an older revision"),
        pytest.param({"mcp_protocol_version": "2099-01-01"}, id="an unknown revision"),
        pytest.param({"content_type": "text/plain"}, id="another content type"),
    ],
)
async def test_no_header_hides_what_the_body_asks_for(scoped: Scoped, headers: dict[str, str | None]) -> None:
    assert_insufficient(await scoped.post("mcp", CALL, **{**MODERN, **headers}), "mcp notes:read")


async def test_a_header_that_names_a_protected_tool_does_not_make_the_body_one(scoped: Scoped) -> None:
    answer = await scoped.post("mcp", mcp_call("hello", {}), **MODERN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
    assert (await scoped.post("mcp", HARMLESS)).status_code == 200


DISGUISES = [
    pytest.param(
        text_of().replace('"read_note"', '"\\u0072ead_note"').encode(), id="escaped letters in the name"
    ),
    pytest.param(text_of().replace("tools/call", "tools\\/c\\u0061ll").encode(), id="escaped method"),
    pytest.param(text_of().replace('"name"', '"n\\u0061me"').encode(), id="escaped member"),
    pytest.param(
        text_of().replace('"name"', '"name": "hello", "name"', 1).encode(), id="the name twice, last counts"
    ),
    pytest.param(
        text_of().replace('"method"', '"method": "tools/list", "method"', 1).encode(),
        id="the method twice, last counts",
    ),
    pytest.param(
        text_of().replace('"params"', '"params": {"name": "hello"}, "params"', 1).encode(),
        id="the parameters twice, last counts",
    ),
    pytest.param(b" \r\n\t" + text_of().encode() + b"\n", id="blanks around"),
    pytest.param(text_of([CALL]).encode(), id="a batch of one"),
    pytest.param(text_of([HARMLESS, "x", None, CALL, 7]).encode(), id="hidden in a batch"),
    pytest.param(text_of({**CALL, "result": {}, "error": {}}).encode(), id="an answer at the same time"),
    pytest.param(text_of({**CALL, "id": None}).encode(), id="without an id"),
    pytest.param(text_of().encode("utf-16"), id="UTF-16 with a mark"),
    pytest.param(text_of().encode("utf-16-le"), id="UTF-16, little end first"),
    pytest.param(text_of().encode("utf-16-be"), id="UTF-16, big end first"),
    pytest.param(text_of().encode("utf-32"), id="UTF-32"),
    pytest.param(b"\xef\xbb\xbf" + text_of().encode(), id="UTF-8 with a mark"),
    pytest.param(
        text_of().replace('"arguments": {}', '"arguments": {"x": NaN, "y": -Infinity, "z": 1e999}').encode(),
        id="numbers that are none",
    ),
    pytest.param(
        text_of().replace('"arguments": {}', '"arguments": {"x": "\\ud800"}').encode(), id="half a letter"
    ),
]


@pytest.mark.parametrize("headers", [MODERN, {}], ids=["2026-07-28", "older"])
@pytest.mark.parametrize("body", DISGUISES)
async def test_no_spelling_hides_what_the_body_asks_for(
    scoped: Scoped, body: bytes, headers: dict[str, str]
) -> None:
    assert_insufficient(await scoped.post("mcp", body, **headers), "mcp notes:read")


@pytest.mark.parametrize("headers", [MODERN, {}], ids=["2026-07-28", "older"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(text_of().replace("{}", '{"x": ' + "9" * 5000 + "}", 1).encode(), id="a huge number"),
        pytest.param(
            text_of().replace("{}", '{"x": ' + "[" * 9000 + "]" * 9000 + "}", 1).encode(), id="deep nesting"
        ),
        pytest.param(text_of().encode() + b"\x00", id="a byte too many"),
        pytest.param(text_of().encode()[:-1], id="a byte too few"),
        pytest.param(text_of().replace("read_note", "read_note\\x").encode(), id="a false escape"),
        pytest.param(b"\xff\xfe\xfd" + text_of().encode(), id="no encoding"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_what_can_not_be_read_goes_no_further(
    scoped: Scoped, body: bytes, headers: dict[str, str]
) -> None:
    answer = await scoped.post("mcp", body, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)
    assert scoped_server.ran == []


async def test_of_a_member_that_stands_twice_the_last_is_what_runs(scoped: Scoped) -> None:
    body = text_of(HARMLESS).replace('"name"', '"name": "read_note", "name"').encode()
    assert (await scoped.post("mcp", body)).status_code == 200
    assert scoped_server.ran == ["hello"]


async def test_a_body_in_pieces_is_read_whole(scoped: Scoped) -> None:
    async def pieces(call: Any) -> AsyncIterator[bytes]:
        for letter in text_of(call).encode():
            yield bytes([letter])

    headers = {
        "authorization": f"Bearer {await scoped.token('mcp')}",
        "accept": ACCEPT,
        "content-type": "application/json",
    }
    refused = await scoped.world.http.post("/mcp", headers=headers, content=pieces(CALL))
    assert_insufficient(refused, "mcp notes:read")
    answer = await scoped.world.http.post("/mcp", headers=headers, content=pieces(HARMLESS))
    assert message_of(answer)["result"]["content"][0]["text"] == "hello"


async def test_other_methods_have_no_body_to_look_into(scoped: Scoped) -> None:
    headers = {"authorization": f"Bearer {await scoped.token('mcp')}", "mcp-protocol-version": "2026-07-28"}
    assert (await scoped.world.http.get("/mcp", headers=headers)).status_code == 405


async def guard_alone(scoped: Scoped, endpoint: ASGIApp, refused: list[str]) -> ASGIApp:
    """The guard without the layers that this server has in front of it."""
    world = scoped.world
    revocations = Revocations(DatabaseRevocations(world.database, world.clock), world.clock)
    await revocations.poll()
    keys = world.services.signing_keys
    verifier = AccessTokenVerifier(
        world.settings.public_url,
        world.settings.resource,
        lambda: keys.verification,
        revocations,
        world.clock,
    )
    return BearerGuard(
        endpoint,
        verifier,
        Challenges("https://resource.example/metadata", ()),
        frozenset({"mcp"}),
        OriginCheck(None, False),
        lambda _status, error: refused.append(error),
        Requirements(scoped_server.mcp),
    )


async def test_the_guard_limits_by_itself_what_it_reads(scoped: Scoped) -> None:
    refused: list[str] = []
    guard = await guard_alone(scoped, _unreachable, refused)
    headers = {"authorization": f"Bearer {await scoped.token('mcp')}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(guard), base_url="http://alone") as http:
        answer = await http.post("/mcp", headers=headers, content=b" " * (4 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")
    assert refused == ["content_too_large"]


async def test_who_hangs_up_while_speaking_is_not_answered(scoped: Scoped) -> None:
    refused: list[str] = []
    guard = await guard_alone(scoped, _unreachable, refused)
    authorization = f"Bearer {await scoped.token('mcp')}".encode()
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", authorization)]}
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    await guard(scope, receive, _unreachable)
    assert (messages, refused) == ([], [])


async def test_while_nothing_is_declared_no_body_is_read_before_the_server_reads_it(
    scoped: Scoped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price of declarations is paid by those who make them."""
    reached: list[str] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["method"])

    guard = await guard_alone(scoped, endpoint, reached)
    authorization = f"Bearer {await scoped.token('mcp')}".encode()
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", authorization)]}
    monkeypatch.setattr(requirements, "_declarations", 0)
    await guard(scope, _unreachable, _unreachable)
    assert reached == ["POST"]


async def test_a_resource_that_asks_for_nothing_names_no_scope(scoped: Scoped) -> None:
    guard = await guard_alone(scoped, _unreachable, [])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(guard), base_url="http://alone") as http:
        answer = await http.post("/mcp")
    assert answer.headers["www-authenticate"] == (
        'Bearer resource_metadata="https://resource.example/metadata"'
    )


async def _unreachable(*_: Any) -> Any:
    raise AssertionError("this must not be reached")


# ------------------------------------------------------------------------------------------ the two parsers
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
BODIES = JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def same(one: Any, other: Any) -> bool:
    """Equal, and where it is no number, neither is the other."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(BODIES, st.binary(max_size=3), st.integers(min_value=0), st.integers(min_value=0, max_value=3))
@example(b'{"a": 1, "a": 2}', b"", 0, 0)
@example(b'["\\ud83d\\ude00", "\\u0000", 1e5, -0.0, 12345678901234567890123]', b"", 0, 0)
def test_what_the_older_transport_can_read_is_read_the_same_here(
    body: bytes, insert: bytes, at: int, cut: int
) -> None:
    at %= len(body) + 1
    body = body[:at] + insert + body[at + cut :]
    try:
        theirs = pydantic_core.from_json(body)
    except ValueError:
        return
    assert same(json.loads(body), theirs)
    parse_operations(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_operations_or_unreadable(body: bytes) -> None:
    try:
        operations = parse_operations(body)
    except UnreadableBody:
        return
    assert all(isinstance(operation.method, str) for operation in operations)
