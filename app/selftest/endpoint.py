"""The MCP endpoint as a protected resource; with a token, what must not pass for one."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from app.doctor.walk import initialize
from app.doctor.www_authenticate import find_challenge
from app.oauth.uris import LOOPBACK_HOSTS
from app.selftest.case import EVIL, Case, NotThere, Refuted, Scene, answered, refused
from app.visitor import Answer, origin_of


async def without_token(scene: Scene) -> str:
    """RSV-1."""
    answer = answered(await initialize(scene.visitor, scene.url))
    told = _challenged(answer)
    if "error" in told:
        raise Refuted("There is an error in the challenge, although no token came.")
    return f"{answer.words}, with the challenge."


async def other_credentials(scene: Scene) -> str:
    """RSV-2."""
    for value in ("Bearer", "Basic c2VsZnRlc3Q6eA==", "Token selftest"):
        try:
            _challenged(answered(await initialize(scene.visitor, scene.url, {"Authorization": value})))
        except Refuted as refuted:
            raise Refuted(f"{value}: {refuted}") from None
    return "401 with the challenge for each."


async def no_tokens(scene: Scene) -> str:
    """RSV-3."""
    for token in ("selftest", "a.b.c", _unsigned(scene, {"alg": "none", "typ": "at+jwt"}), "x" * 4000):
        await _invalid(scene, token)
    return "401 invalid_token for each."


async def token_in_query(scene: Scene) -> str:
    """RFC 6750 §2.3, OAuth 2.1 §5.1."""
    token = scene.token or "selftest"
    _challenged(answered(await initialize(scene.visitor, f"{scene.url}?access_token={token}")))
    return "401 with the challenge: it is not looked at."


async def both_spellings(scene: Scene) -> str:
    """RSV-12."""
    other = scene.url.rstrip("/") if scene.url.endswith("/") else f"{scene.url}/"
    answer = answered(await initialize(scene.visitor, other))
    if 300 <= answer.status < 400:
        raise Refuted(f"{answer.words}, to {answer.header('location')}")
    return f"{answer.words}."


async def rebinding(scene: Scene) -> str:
    """RSV-13."""
    host = origin_of(scene.url).partition("://")[2]
    if not {host, host.rpartition(":")[0]} & LOOPBACK_HOSTS:
        raise NotThere("The server is not on this computer, where pages could rebind names.")
    for headers in ({"Origin": EVIL}, {"Host": "evil.example"}):
        answer = answered(await initialize(scene.visitor, scene.url, headers))
        if answer.status not in {403, 421}:
            raise Refuted(f"{headers}: {answer.words}.")
    return "403."


async def too_large(scene: Scene) -> str:
    """HDR-8: before or after the token is looked at."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "x" * 1_200_000}
    answer = answered(await scene.visitor.post_json(scene.url, body))
    if answer.status not in {400, 401, 413}:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def good_token(scene: Scene) -> str:
    """The token counts, else the rest would prove nothing."""
    _token(scene)
    answer = answered(await initialize(scene.visitor, scene.url, {"Authorization": f"Bearer {scene.token}"}))
    if answer.status != 200:
        raise Refuted(f"{answer.words}: is it valid, and for this endpoint?")
    return f"{answer.words}."


async def changed_tokens(scene: Scene) -> str:
    """RSV-3: with another signature, with none, and with more than was signed."""
    token = _token(scene)
    parts = token.split(".")
    if len(parts) == 3:
        changed = [
            f"{parts[0]}.{parts[1]}.",
            f"{_unsigned(scene, {'alg': 'none'}).partition('.')[0]}.{parts[1]}.",
            f"{parts[0]}.{parts[1]}x.{parts[2]}",
            f"{parts[0]}.{parts[1]}.{'B' if parts[2][:1] != 'B' else 'C'}{parts[2][1:]}",
        ]
    else:
        changed = [f"{token}x", token[:-1], token.swapcase()]
    for each in changed:
        await _invalid(scene, each)
    return f"401 invalid_token for each of {len(changed)}."


async def foreign_token(scene: Scene) -> str:
    """RSV-6."""
    if scene.foreign is None:
        raise NotThere("No token for another resource was given (--foreign-token).")
    await _invalid(scene, scene.foreign)
    return "401 invalid_token."


async def token_at_introspection(scene: Scene) -> str:
    """INT-7."""
    token = _token(scene)
    reply = await scene.visitor.post_form(
        scene.endpoint("introspection"), f"token={token}", {"Authorization": f"Bearer {token}"}
    )
    return refused(answered(reply), {400, 401, 403})


CASES = (
    Case("RSV-1", "no token", "401 with resource_metadata, no error", without_token),
    Case("RSV-2", "an empty Bearer, Basic, another scheme", "401 with the same challenge", other_credentials),
    Case("RSV-3", "what is no token, or signed with none", "401 invalid_token", no_tokens),
    Case("RFC 6750 §2.3", "a token in the query", "401: it does not count", token_in_query),
    Case("RSV-12", "the endpoint with the other slash", "no redirect", both_spellings),
    Case("RSV-13", "another Host or Origin on loopback", "403", rebinding),
    Case("HDR-8", "a message of more than 1 MB without a token", "413, 400 or 401", too_large),
    Case("--token", "the token that was given", "200", good_token),
    Case("RSV-3", "the token, changed or without its signature", "401 invalid_token", changed_tokens),
    Case("RSV-6", "a token for another resource", "401 invalid_token", foreign_token),
    Case("INT-7", "introspection with the token", "401 or 403", token_at_introspection),
)


def _token(scene: Scene) -> str:
    if scene.token is None:
        raise NotThere("No token was given (--token).")
    return scene.token


def _challenged(answer: Answer) -> Mapping[str, str]:
    if answer.status != 401:
        raise Refuted(f"{answer.words}.")
    told = find_challenge(answer.all("www-authenticate"))
    if told is None or "resource_metadata" not in told:
        raise Refuted(f"{answer.words}, and no Bearer challenge with resource_metadata.")
    return told


async def _invalid(scene: Scene, token: str) -> None:
    answer = answered(await initialize(scene.visitor, scene.url, {"Authorization": f"Bearer {token}"}))
    if _challenged(answer).get("error") != "invalid_token":
        raise Refuted(f"{answer.words}, and the challenge does not say invalid_token.")


def _unsigned(scene: Scene, header: Mapping[str, Any]) -> str:
    claims = {"iss": scene.issuer, "aud": scene.url, "sub": "selftest", "exp": 4102444800, "scope": "mcp"}
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return f"{'.'.join(parts)}."
