"""A client that sends proofs: what it asks of a running server, with its key."""

import re
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.support.dpop import Prover
from tests.support.world import World, mcp_call, mcp_headers

Client = Mapping[str, Any]
_PARAMETER = re.compile(r'([a-z_]+)="([^"\\]*)"')


def token_proof(world: World, prover: Prover, **changes: Any) -> str:
    """A proof for the token endpoint, made now."""
    url = f"{world.settings.public_url}/oauth/token"
    return prover.proof("POST", url, world.clock.now(), **changes)


def resource_proof(world: World, prover: Prover, access_token: str, **changes: Any) -> str:
    """A proof for the MCP endpoint, made now."""
    return prover.proof("POST", world.settings.resource, world.clock.now(), access_token, **changes)


async def ask(world: World, form: Mapping[str, str], *proofs: str, **headers: str) -> httpx2.Response:
    """A token request with these proofs."""
    sent = [*headers.items(), *(("dpop", proof) for proof in proofs)]
    return await world.http.post("/oauth/token", data=dict(form), headers=sent)


async def redeem(world: World, client: Client, code: str, *proofs: str) -> httpx2.Response:
    """Redeem a code."""
    return await ask(world, world.redemption(client, code), *proofs)


async def refresh(
    world: World, client: Client, refresh_token: str, *proofs: str, **more: str
) -> httpx2.Response:
    """Use a refresh token."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": client["client_id"],
        **more,
    }
    return await ask(world, form, *proofs)


async def bound_tokens(world: World, client: Client, prover: Prover, **changes: Any) -> dict[str, Any]:
    """Tokens that are bound to this key."""
    code = await world.code(client, **changes)
    answer = await redeem(world, client, code, token_proof(world, prover))
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def call(
    world: World, access_token: str, *proofs: str, scheme: str = "DPoP", path: str = "/mcp"
) -> httpx2.Response:
    """Call a tool with this token, under this scheme, with these proofs."""
    headers = [
        *mcp_headers(None, "whoami").items(),
        ("authorization", f"{scheme} {access_token}"),
        *(("dpop", proof) for proof in proofs),
    ]
    return await world.http.post(path, headers=headers, json=mcp_call("whoami", {}))


def challenges_of(answer: httpx2.Response) -> dict[str, dict[str, str]]:
    """Each challenge with its parameters, in the order in which they stand."""
    found = {}
    for value in answer.headers.get_list("www-authenticate"):
        scheme, _, rest = value.partition(" ")
        parameters = _PARAMETER.findall(rest)
        assert ", ".join(f'{name}="{text}"' for name, text in parameters) == rest
        assert len(dict(parameters)) == len(parameters)
        found[scheme] = dict(parameters)
    return found
