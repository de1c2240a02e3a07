"""What a client does with its registration access token (RFC 7592)."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from tests import back_channel
from tests.support.world import World

_numbers = itertools.count()
JSON = {"content-type": "application/json"}
CONFIDENTIAL = {"token_endpoint_auth_method": "client_secret_post"}
EVIL = "https://evil.example/cb"


def headers(client: Mapping[str, Any], scheme: str = "Bearer") -> dict[str, str]:
    """The header that proves this client."""
    return {"authorization": f"{scheme} {client['registration_access_token']}"}


def metadata_of(client: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """What the client registered, as an update must send it; a change to `...` leaves a field out."""
    server_made = {
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    }
    fields = {name: value for name, value in client.items() if name not in server_made} | changes
    return {name: value for name, value in fields.items() if value is not ...}


async def read(world: World, client: Mapping[str, Any]) -> httpx2.Response:
    """Ask what is registered."""
    return await world.http.get(client["registration_client_uri"], headers=headers(client))


async def update(world: World, client: Mapping[str, Any], **changes: Any) -> httpx2.Response:
    """Replace the metadata by the same with these changes, each time from another address."""
    content = json.dumps(metadata_of(client, **changes))
    number = next(_numbers)
    async with world.machine(f"198.18.{number // 250}.{number % 250 + 1}") as machine:
        return await machine.put(
            client["registration_client_uri"], content=content, headers={**headers(client), **JSON}
        )


async def remove(world: World, client: Mapping[str, Any]) -> httpx2.Response:
    """Ask to be removed."""
    return await world.http.delete(client["registration_client_uri"], headers=headers(client))


def assert_refused(answer: httpx2.Response, status: int, error: str) -> None:
    """A JSON error; a bearer challenge with a 401."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error, answer.text
    assert back_channel.DESCRIPTION.fullmatch(answer.json()["error_description"])
    assert "no-store" in answer.headers["cache-control"]
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
