"""Clients that sign for themselves: `private_key_jwt` (RFC 7523 §2.2 and §3, OpenID Connect Core §9).

An assertion is refused, in this order, after the client was found and its method and state were checked:
 1. `iss` or `sub` that is not the client
 2. `aud` that is not this server: one value, its issuer or one of its endpoints where clients authenticate
 3. no `exp`, one in the past or more than an hour ahead; `nbf` or `iat` ahead
 4. no `jti`, or one too long
 5. an algorithm that is not the registered one
 6. no keys of the client at hand
 7. a key that the client did not publish, or a wrong signature
 8. a `jti` that was presented before, to whichever replica
Nobody who is refused learns which it was: the answer is always 401 `invalid_client`.
"""

from datetime import datetime, timedelta

from app.audit import Origin
from app.authorization_server.client_keys import ClientKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.replay import spend_identifier
from app.database import Transaction
from app.oauth.assertions import check_times, verify_assertion
from app.oauth.jwt import InvalidJWT, Unverified

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# What `typ` may say: nothing, what libraries write by default, or what it is (draft-ietf-oauth-rfc7523bis).
TOKEN_TYPES = frozenset({"", "jwt", "client-authentication+jwt"})
LONGEST = timedelta(hours=1)
_ENDPOINTS = ("token", "revoke", "introspect", "par", "device_authorization")
_LONGEST_JTI = 512


async def assertion_refusal(
    tx: Transaction,
    client: Client,
    assertion: Unverified,
    client_keys: ClientKeys,
    policy: Policy,
    origin: Origin,
) -> str | None:
    """Why an assertion does not prove that this client sent it, as a slug for the audit record.

    One that proves it is spent: it proves nothing a second time.
    """
    reason = claims_refusal(client, assertion, policy, origin.now)
    if reason is not None:
        return reason
    keys = client_keys.known(client, origin)
    if keys is None:
        return "assertion_without_keys"
    try:
        claims = verify_assertion(assertion, keys)
        expires_at = check_times(claims, origin.now, LONGEST)
    except InvalidJWT:
        return "assertion_signature"
    # With the client's id in front: another client's identifiers are its own.
    identifier = f"{client.client_id}\n{claims['jti']}"
    if not await spend_identifier(tx, "assertion", identifier, expires_at):
        return "assertion_replayed"
    return None


def claims_refusal(client: Client, assertion: Unverified, policy: Policy, now: datetime) -> str | None:
    """Rules 1 to 5 of the head of this file: what can be told without the client's keys."""
    claims, algorithm = assertion.claims, client.token_endpoint_auth_signing_alg
    if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
        return "assertion_subject"
    if _audience(claims.get("aud")) not in _audiences(policy):
        return "assertion_audience"
    try:
        check_times(claims, now, LONGEST)
    except InvalidJWT:
        return "assertion_time"
    jti = claims.get("jti")
    # What can't be printed could not be encoded either.
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI or not jti.isprintable():
        return "assertion_identifier"
    return None if algorithm in {None, assertion.algorithm} else "assertion_algorithm"


def _audience(aud: object) -> object:
    """A list of one is as good as its one value (RFC 7519 §4.1.3); of several, some may be other servers."""
    return aud[0] if isinstance(aud, list) and len(aud) == 1 else aud


def _audiences(policy: Policy) -> list[str]:
    """How clients name this server. The issuer is what they should say (draft-ietf-oauth-rfc7523bis §3), the token
    endpoint what they were told to say before (RFC 7523 §3), and RFC 9126 §2 and others add their own endpoints."""
    return [policy.issuer, *(f"{policy.issuer}/oauth/{name}" for name in _ENDPOINTS)]
