"""All cases against one server: two clients are registered before, and removed after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.doctor.evidence import text_of
from app.doctor.walk import discover, remove_client
from app.selftest import authorization, discovery, endpoint, registration, tokens
from app.selftest.case import Case, NotThere, Outcome, Scene, try_case
from app.visitor import Answer, Reach, Reply, Visitor

CASES = (
    *discovery.CASES,
    *registration.CASES,
    *authorization.CASES,
    *tokens.CASES,
    *endpoint.CASES,
)


class NothingToTry(Exception):
    """Discovery leads nowhere; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How all cases ended; `left` are the ids of clients that could not be removed."""

    url: str
    outcomes: Sequence[Outcome]
    left: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether anything wrong was taken."""
        return any(outcome.status == "fail" for outcome in self.outcomes)


async def run_trial(
    reach: Reach,
    url: str,
    now: datetime,
    token: str | None = None,
    foreign: str | None = None,
    cases: Sequence[Case] = CASES,
) -> Trial:
    """Try cases against the server of an MCP endpoint, and leave nothing behind.

    Args:
        token: a valid access token for the endpoint.
        foreign: a token that is for another resource.

    Raises:
        NothingToTry: it has no authorization server that can be found.
    """
    async with Visitor(reach) as visitor:
        evidence = await discover(visitor, url, now)
        if evidence.server is None:
            raise NothingToTry(
                f"No authorization server is found from {url}: run `ostiary doctor {url}` first."
            )
        scene = Scene(visitor, evidence, token=token, foreign=foreign)
        made = [
            await _register(scene, "none"),
            await _register(scene, "client_secret_basic"),
        ]
        try:
            scene.public, scene.confidential = (_client_of(reply) for reply in made)
            outcomes = [await try_case(case, scene) for case in cases]
        finally:
            for reply in made:
                await _remove(scene, reply)
    return Trial(url, outcomes, scene.left)


async def _register(scene: Scene, method: str) -> Reply | None:
    try:
        address = scene.endpoint("registration")
    except NotThere:
        return None
    metadata = {**registration.METADATA, "token_endpoint_auth_method": method}
    return await scene.visitor.post_json(address, metadata)


def _client_of(reply: Reply | None) -> Mapping[str, Any] | None:
    document = reply.document if isinstance(reply, Answer) and reply.status in {200, 201} else None
    return document if text_of(document, "client_id") else None


async def _remove(scene: Scene, reply: Reply | None) -> None:
    client = _client_of(reply)
    if reply is not None and client is not None and not await remove_client(scene.visitor, reply):
        scene.left.append(str(client["client_id"]))
