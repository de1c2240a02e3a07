"""How a client says that it authenticates, and with which keys (RFC 7591 §2, OpenID Connect Registration §2)."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.authorization_server.policy import Policy
from app.oauth.assertions import ALGORITHMS, InvalidKeySet, KeySet, NoUsableKey, read_key_set
from app.oauth.errors import InvalidClientMetadata
from app.oauth.features import Feature
from app.oauth.uris import InvalidURI, check_client_id_url, host_of, is_loopback

PRIVATE_KEY_JWT = "private_key_jwt"
SECRET_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class KeyMetadata:
    """Where the keys of a client are that signs for itself; empty for the others.

    `jwks` holds nothing but what verifies its signatures.
    """

    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    token_endpoint_auth_signing_alg: str | None = None


def auth_methods(policy: Policy) -> tuple[str, ...]:
    """How clients may authenticate (RFC 8414 §2, `token_endpoint_auth_methods_supported`)."""
    return ("none", *SECRET_METHODS, *([PRIVATE_KEY_JWT] if policy.has(Feature.PRIVATE_KEY_JWT) else []))


def read_keys(metadata: Mapping[str, Any], method: str, policy: Policy) -> KeyMetadata:
    """Check the fields about keys. Nothing is fetched, and of a client that does not sign nothing is kept.

    Raises:
        InvalidClientMetadata: both `jwks` and `jwks_uri`, a private or shared key, a bad address; and where the
            client is to sign, no key that could verify it.
    """
    jwks, jwks_uri = metadata.get("jwks"), metadata.get("jwks_uri")
    if jwks is not None and jwks_uri is not None:
        raise InvalidClientMetadata("jwks and jwks_uri must not both be there.")
    uri = None if jwks_uri is None else _check_uri(jwks_uri, policy)
    if method != PRIVATE_KEY_JWT:
        # They may be there for purposes that are not served here.
        with contextlib.suppress(NoUsableKey):
            _check_keys(jwks)
        return KeyMetadata()
    algorithm = metadata.get("token_endpoint_auth_signing_alg")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise InvalidClientMetadata(f"token_endpoint_auth_signing_alg must be {' or '.join(ALGORITHMS)}.")
    try:
        keys = _check_keys(jwks)
    except NoUsableKey as error:
        raise InvalidClientMetadata(f"jwks {error}.") from None
    if keys is None and uri is None:
        raise InvalidClientMetadata("token_endpoint_auth_method private_key_jwt needs jwks or jwks_uri.")
    if keys is not None and algorithm is not None and all(key.algorithm != algorithm for key in keys.keys):
        raise InvalidClientMetadata("jwks holds no key for token_endpoint_auth_signing_alg.")
    return KeyMetadata(keys.jwks if keys is not None else None, uri, algorithm)


def _check_keys(jwks: object) -> KeySet | None:
    try:
        return None if jwks is None else read_key_set(jwks)
    except NoUsableKey:
        raise
    except InvalidKeySet as error:
        raise InvalidClientMetadata(f"jwks {error}.") from None


def _check_uri(jwks_uri: object, policy: Policy) -> str:
    try:
        if not isinstance(jwks_uri, str):
            raise InvalidURI("must be a text")
        uri = check_client_id_url(jwks_uri, loopback=is_loopback(policy.issuer))
    except InvalidURI as error:
        raise InvalidClientMetadata(f"jwks_uri {error}.") from None
    if not policy.reads_from(host_of(uri)):
        raise InvalidClientMetadata("jwks_uri is on a host that the operator did not allow.")
    return uri
