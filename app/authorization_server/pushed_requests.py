"""Pushed authorization requests (RFC 9126): the client itself tells the request, the browser brings only its handle.

push   -> the request_uri of a request that passed the rules of the authorization endpoint
recall -> what a browser asks: the request that was pushed, or its own parameters
park   -> as `app.authorization_server.authorization.park`, but one that was pushed is parked once

A handle is spent when it is parked for a browser. That browser may load the address again and comes back to the same
parked request, so that one handle never leads to two answers (§4); every other browser is refused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.authorization_server import authorization, store
from app.authorization_server import pushed_request_store as pushed_requests
from app.authorization_server.authentication import Demand
from app.authorization_server.authorization import ValidRequest
from app.authorization_server.policy import Policy
from app.authorization_server.records import AuthorizationRequest, Client, PushedRequest
from app.database import Transaction
from app.oauth import jwt
from app.oauth.credentials import PUSHED_REQUEST, Keys, TokenHash, mint, mint_id
from app.oauth.errors import ContentTooLarge, InvalidDPoPProof, InvalidRequest, InvalidRequestURI
from app.oauth.features import Feature
from app.oauth.parameters import Parameters

_URN = "urn:ietf:params:oauth:request_uri:"
_PURPOSE = "pushed-request"
_LARGEST = 32 * 1024  # characters of JSON; what is much larger could not be opened again
# What authenticates the client is no part of its request, and is never stored.
_NOT_KEPT = {"client_id", "client_secret", "client_assertion", "client_assertion_type"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where the request lies, and for how many seconds."""

    request_uri: str
    expires_in: int

    def response(self) -> dict[str, str | int]:
        """The answer of RFC 9126 §2.2."""
        return {"request_uri": self.request_uri, "expires_in": self.expires_in}


@dataclass(frozen=True, slots=True)
class Submission:
    """An authorization request as it came: `pushed` is None where the browser itself carried it."""

    parameters: Parameters
    pushed: PushedRequest | None = None


async def push(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    client: Client,
    form: Parameters,
    proof_key: str | None,
    now: datetime,
) -> Pushed:
    """Keep a client's request for a minute, once it passed every rule that needs no person (§2.1).

    Args:
        proof_key: the thumbprint of the key that the client proved to hold: its code is bound to that key, as if it
            had said so with `dpop_jkt` (RFC 9449 §10.1).

    Raises:
        InvalidDPoPProof: `dpop_jkt` names another key.
        InvalidRequest: it names another request; or as `identify` and `validate`, which raise the other refusals.
        ContentTooLarge: it is larger than any honest one.
    """
    if form.get("request_uri") is not None:
        raise InvalidRequest("request_uri must not be pushed.", client_id=client.client_id)
    if proof_key is not None and form.get("dpop_jkt") not in {None, proof_key}:
        raise InvalidDPoPProof(
            "dpop_jkt names another key than the DPoP proof.",
            reason="proof_key_mismatch",
            client_id=client.client_id,
        )
    pairs = [("client_id", client.client_id), *((n, v) for n, v in form.pairs() if n not in _NOT_KEPT)]
    if proof_key is not None and form.get("dpop_jkt") is None:
        pairs.append(("dpop_jkt", proof_key))
    parameters = Parameters(pairs)
    authorization.validate(parameters, await authorization.identify(tx, parameters), policy)
    encoded = json.dumps(pairs)
    if len(encoded) > _LARGEST:
        raise ContentTooLarge("The authorization request is too large.", client_id=client.client_id)
    handle = mint(PUSHED_REQUEST)
    pushed = PushedRequest(
        handle_hash=keys.hash(handle),
        client_id=client.client_id,
        parameters_sealed=jwt.seal(encoded, keys.encryption_keys(_PURPOSE)[0]),
        created_at=now,
        expires_at=now + policy.pushed_request_lifetime,
    )
    await pushed_requests.add(tx, pushed)
    return Pushed(_URN + handle, int(policy.pushed_request_lifetime.total_seconds()))


async def recall(
    tx: Transaction, keys: Keys, policy: Policy, parameters: Parameters, now: datetime
) -> Submission:
    """What a browser asks for: beside the handle of a pushed request, nothing but the client's id counts (§4).

    Raises:
        InvalidRequest: `client_id` is missing.
        InvalidRequestURI: this client pushed no such request, or too long ago.
    """
    request_uri = parameters.get("request_uri") or ""
    if not request_uri.startswith(_URN) or not policy.has(Feature.PUSHED_REQUESTS):
        return Submission(parameters)
    client_id = parameters.require("client_id")
    pushed = await pushed_requests.find(tx, keys.hashes(request_uri.removeprefix(_URN)), client_id, now)
    if pushed is None:
        raise InvalidRequestURI("The request is unknown or too old.", reason="pushed_request_unknown")
    opened = jwt.unseal(pushed.parameters_sealed, keys.encryption_keys(_PURPOSE))
    return Submission(Parameters([(name, value) for name, value in json.loads(opened)]), pushed)


def check_pushed(submission: Submission, client: Client, policy: Policy) -> None:
    """Hold the browser to pushed requests where the server or the client wants no others (§5, §6).

    Raises:
        InvalidRequest: the browser itself carried this one.
    """
    if submission.pushed is None and (policy.require_pushed_requests or client.requires_pushing):
        raise InvalidRequest("The authorization request must be pushed first.", reason="not_pushed")


async def park(
    tx: Transaction,
    submission: Submission,
    request: ValidRequest,
    demand: Demand,
    browser_hashes: Sequence[TokenHash],
    policy: Policy,
    now: datetime,
) -> AuthorizationRequest:
    """Keep the request for the person to answer.

    Args:
        browser_hashes: of the browser that brought it, the present key's first.

    Raises:
        InvalidRequestURI: another browser brought it before.
    """
    pushed, request_id = submission.pushed, mint_id("request_")
    if pushed is None or await pushed_requests.spend(tx, pushed.handle_hash, request_id, now):
        return await authorization.park(tx, request, demand, browser_hashes[0], policy, now, request_id)
    parked_as = await pushed_requests.find_request_id(tx, pushed.handle_hash)
    parked = await store.find_request(tx, parked_as, browser_hashes)
    if parked is None:
        raise InvalidRequestURI(
            "The request was used before.", reason="pushed_request_spent", client_id=pushed.client_id
        )
    return parked
