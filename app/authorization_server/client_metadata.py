"""What a client may say about itself (RFC 7591 §2), whether it registers or publishes a document."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.authorization_server.client_key_metadata import auth_methods, read_keys
from app.authorization_server.grants.client_credentials import GRANT_TYPE as CLIENT_CREDENTIALS
from app.authorization_server.grants.registry import registrable, switched_off
from app.authorization_server.policy import Policy
from app.oauth.errors import InvalidClientMetadata, InvalidRedirectURI, InvalidScope
from app.oauth.features import Feature
from app.oauth.jwt import ALGORITHM
from app.oauth.scopes import format_scope, parse_scope
from app.oauth.uris import InvalidURI, check_redirect_uri, without_loopback_port
from app.rows import values_of

RESPONSE_TYPES = ("code",)
_MOST_REDIRECT_URIS = 20
# Letters and symbols that are drawn as nothing: the Hangul fillers and the empty braille pattern.
_LOOKS_EMPTY = "\u115f\u1160\u3164\uffa0\u2800"
_MARKS = re.compile("M{4}")
_LONGEST_NAME = 200
_LONGEST_TEXT = 500
# Fields that are kept for people to read; nothing is ever fetched from their URLs.
_URL_FIELDS = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
_TEXT_FIELDS = ("software_id", "software_version", "application_type")
# What a client may want of this server for itself, where it is done here (RFC 9449 §5.2, RFC 9126 §6).
_WISHES = {
    "dpop_bound_access_tokens": Feature.DPOP,
    "require_pushed_authorization_requests": Feature.PUSHED_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """Metadata whose every field was checked."""

    client_name: str | None
    redirect_uris: list[str]
    grant_types: list[str]
    response_types: list[str]
    token_endpoint_auth_method: str
    scope: str | None
    information: dict[str, Any]
    jwks: dict[str, Any] | None
    jwks_uri: str | None
    token_endpoint_auth_signing_alg: str | None


def check_metadata(
    metadata: object, policy: Policy, default_auth_method: str, *, by_operator: bool = False
) -> ClientMetadata:
    """Check the metadata in the order of RFC 7591 §2; fields that this server does not know are ignored.

    Args:
        by_operator: whether the operator makes this client, which may then use grants in which nobody is asked.

    Raises:
        InvalidRedirectURI, InvalidClientMetadata: RFC 7591 §3.2.2.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidClientMetadata("The client metadata must be a JSON object.")
    may_have = registrable(policy, by_operator=by_operator)
    grant_types = _choices(metadata, "grant_types", ["authorization_code"], may_have, switched_off(policy))
    redirects = "authorization_code" in grant_types
    response_types = _choices(metadata, "response_types", ["code"] if redirects else [], RESPONSE_TYPES)
    if set(grant_types) <= {"refresh_token"}:
        raise InvalidClientMetadata("grant_types must hold one that begins something.")
    if redirects != ("code" in response_types):
        raise InvalidClientMetadata(
            "response_types must hold code when grant_types holds authorization_code."
        )
    redirect_uris = _redirect_uris(metadata, policy, required=redirects)
    auth_method = metadata.get("token_endpoint_auth_method") or default_auth_method
    if auth_method not in auth_methods(policy):
        raise InvalidClientMetadata("token_endpoint_auth_method is not supported.")
    if auth_method == "none" and CLIENT_CREDENTIALS in grant_types:
        raise InvalidClientMetadata("client_credentials is for clients that authenticate.")
    return ClientMetadata(
        **values_of(read_keys(metadata, auth_method, policy)),
        client_name=_name(metadata),
        redirect_uris=redirect_uris,
        grant_types=grant_types,
        response_types=response_types,
        token_endpoint_auth_method=auth_method,
        scope=_scope(metadata, policy),
        information={**_information(metadata, policy), **_id_tokens(metadata, policy)},
    )


def fingerprint(metadata: ClientMetadata) -> str:
    """The same for metadata that says the same; the ports of loopback redirect URIs, new each time, don't count."""
    said = values_of(metadata) | {
        "redirect_uris": sorted({without_loopback_port(uri) for uri in metadata.redirect_uris}),
        "grant_types": sorted(metadata.grant_types),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _redirect_uris(metadata: Mapping[str, Any], policy: Policy, *, required: bool) -> list[str]:
    """Only a client that is answered by redirect needs any (RFC 7591 §2)."""
    uris = metadata.get("redirect_uris")
    if uris in (None, []) and not required:
        return []
    if not isinstance(uris, list) or not uris or not all(isinstance(uri, str) for uri in uris):
        raise InvalidRedirectURI("redirect_uris must be a list of at least one URI.")
    if len(uris) > _MOST_REDIRECT_URIS:
        raise InvalidRedirectURI(f"redirect_uris must hold at most {_MOST_REDIRECT_URIS} URIs.")
    try:
        return [check_redirect_uri(uri, policy.private_use_schemes) for uri in dict.fromkeys(uris)]
    except InvalidURI as error:
        raise InvalidRedirectURI(f"{str(error).capitalize()}.") from None


def _choices(
    metadata: Mapping[str, Any],
    field: str,
    default: list[str],
    supported: tuple[str, ...],
    passed_over: tuple[str, ...] = (),
) -> list[str]:
    values = metadata.get(field)
    if values is None:
        return default
    if not isinstance(values, list) or any(value not in supported + passed_over for value in values):
        raise InvalidClientMetadata(f"{field} holds a value that is not supported.")
    return [value for value in dict.fromkeys(values) if value not in passed_over]


def _name(metadata: Mapping[str, Any]) -> str | None:
    name = metadata.get("client_name")
    if name is None or name == "":
        return None
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise InvalidClientMetadata(f"client_name must be a text of at most {_LONGEST_NAME} characters.")
    # Control, format (direction overrides, zero width) and unassigned characters could make the name read as
    # something else than it is; surrogates cannot be stored.
    if any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for letter in name):
        raise InvalidClientMetadata("client_name holds a character that can't be shown.")
    name = " ".join(name.split())
    if not any(unicodedata.category(letter)[0] in "LNSP" and letter not in _LOOKS_EMPTY for letter in name):
        raise InvalidClientMetadata("client_name holds nothing that can be seen.")
    if _MARKS.search("".join(unicodedata.category(letter)[0] for letter in name)):
        raise InvalidClientMetadata("client_name piles up marks on a letter.")
    return name


def _scope(metadata: Mapping[str, Any], policy: Policy) -> str | None:
    scope = metadata.get("scope")
    if scope is None:
        return None
    if not isinstance(scope, str):
        raise InvalidClientMetadata("scope must be a text.")
    try:
        names = parse_scope(scope)
    except InvalidScope as error:
        raise InvalidClientMetadata(error.description) from None
    return format_scope(name for name in names if name in policy.scopes)


def _information(metadata: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    information: dict[str, Any] = {}
    for field in (*_URL_FIELDS, *_TEXT_FIELDS):
        value = metadata.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
            raise InvalidClientMetadata(f"{field} must be a short text.")
        if field in _URL_FIELDS:
            _check_web_url(field, value)
        information[field] = value
    for field, feature in _WISHES.items():
        wish = metadata.get(field)
        if wish is not None and policy.has(feature):
            if not isinstance(wish, bool):
                raise InvalidClientMetadata(f"{field} must be true or false.")
            information[field] = wish
    contacts = metadata.get("contacts")
    if contacts is not None:
        if (
            not isinstance(contacts, list)
            or len(contacts) > 10
            or not all(
                isinstance(entry, str) and len(entry) <= _LONGEST_TEXT and entry.isprintable()
                for entry in contacts
            )
        ):
            raise InvalidClientMetadata("contacts must be a list of short texts.")
        information["contacts"] = contacts
    return information


def _id_tokens(metadata: Mapping[str, Any], policy: Policy) -> dict[str, str]:
    """Whatever algorithm was asked for, there is one, and the answer says which (RFC 7591 §3.2.1)."""
    if metadata.get("id_token_signed_response_alg") is None or not policy.has(Feature.OPENID):
        return {}
    return {"id_token_signed_response_alg": ALGORITHM}


def _check_web_url(field: str, value: str) -> None:
    """Only links that a person could safely follow: https anywhere, http on loopback."""
    try:
        check_redirect_uri(value.split("#", 1)[0], frozenset())
        if not value.startswith(("https://", "http://")):
            raise InvalidURI("must be a web address")
    except InvalidURI:
        raise InvalidClientMetadata(f"{field} must be an https URL.") from None
