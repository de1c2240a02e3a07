"""Registration (RFC 7591) and the client's configuration (RFC 7592)."""

from collections.abc import Callable, Mapping
from typing import Any

from app.doctor.evidence import text_of
from app.selftest.case import REDIRECT_URI, Case, NotThere, Refuted, Scene, answered, refused

METADATA: Mapping[str, Any] = {
    "client_name": "ostiary selftest",
    "redirect_uris": [REDIRECT_URI, "http://localhost/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    # Only the server says what these are (REG-14).
    "client_id": "chosen-by-the-client",
    "trusted": True,
    "skip_consent": True,
}
_DANGEROUS = (
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "vbscript:x",
    "JavaScript:alert(1)",
)
_INVALID = ("invalid_redirect_uri", "invalid_client_metadata")


def _wrong(*errors: str, **changes: Any) -> Callable[[Scene], Any]:
    async def run(scene: Scene) -> str:
        body = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
        return refused(await scene.registration(body), {400}, errors)

    return run


async def not_json(scene: Scene) -> str:
    """REG-1."""
    endpoint, found = scene.endpoint("registration"), ""
    for body in (b"{", b"null", b"[]", b'"x"'):
        reply = await scene.visitor.ask(
            "POST", endpoint, {"Content-Type": "application/json", "Accept": "application/json"}, body
        )
        found = refused(await scene.undo(reply), {400})
    return found


async def a_form(scene: Scene) -> str:
    """REG-2."""
    reply = await scene.visitor.post_form(
        scene.endpoint("registration"), "redirect_uris=https%3A%2F%2Fclient.example%2Fcallback"
    )
    return refused(await scene.undo(reply), {400, 415})


async def dangerous_schemes(scene: Scene) -> str:
    """REG-5."""
    found = ""
    for uri in _DANGEROUS:
        answer = await scene.registration({**METADATA, "redirect_uris": [uri]})
        try:
            found = refused(answer, {400}, _INVALID)
        except Refuted as refuted:
            raise Refuted(f"{uri}: {refuted}") from None
    return found


async def own_values(scene: Scene) -> str:
    """REG-14, REG-25."""
    if scene.public is None:
        raise NotThere("No client could be registered.")
    client_id = scene.client()
    if client_id == METADATA["client_id"]:
        raise Refuted("The client could choose its own client_id.")
    if client_id.startswith("https://"):
        raise Refuted("The client_id looks like the address of a metadata document.")
    return f"The server chose {client_id}."


async def too_large(scene: Scene) -> str:
    """REG-18."""
    answer = await scene.registration({**METADATA, "client_name": "x" * 1_200_000})
    if answer.status not in {400, 413}:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def foreign_hands(scene: Scene) -> str:
    """MGT-1."""
    address = text_of(dict(scene.public or {}), "registration_client_uri")
    if address is None:
        raise NotThere("Clients are not managed (RFC 7592).")
    found = ""
    for method in ("GET", "DELETE"):
        for headers in ({}, {"Authorization": "Bearer selftest"}):
            answer = answered(await scene.visitor.ask(method, address, headers))
            if answer.status != 401:
                raise Refuted(f"{method}: {answer.words}.")
            found = f"{answer.words}."
    return found


CASES = (
    Case("REG-1", "registration that is not a JSON object", "400", not_json),
    Case("REG-2", "registration as a form", "400 or 415", a_form),
    Case("REG-3", "registration without redirect URI", "400", _wrong(*_INVALID, redirect_uris=[])),
    Case(
        "REG-4",
        "a good redirect URI and one with http",
        "400 invalid_redirect_uri",
        _wrong(*_INVALID, redirect_uris=[REDIRECT_URI, "http://evil.example/callback"]),
    ),
    Case("REG-5", "redirect URIs that a browser runs (javascript, data, file …)", "400", dangerous_schemes),
    Case(
        "REG-6",
        "a redirect URI with a fragment",
        "400",
        _wrong(*_INVALID, redirect_uris=[f"{REDIRECT_URI}#x"]),
    ),
    Case(
        "REG-9",
        "a redirect URI with an unknown scheme without a dot",
        "400",
        _wrong(*_INVALID, redirect_uris=["selftest:/callback"]),
    ),
    Case("REG-10", "grant type password", "400", _wrong("invalid_client_metadata", grant_types=["password"])),
    Case("REG-10", "grant type implicit", "400", _wrong("invalid_client_metadata", grant_types=["implicit"])),
    Case(
        "REG-10",
        "grant type client_credentials, of anyone",
        "400",
        _wrong(
            "invalid_client_metadata",
            grant_types=["client_credentials"],
            response_types=[],
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106
        ),
    ),
    Case("REG-11", "response type token", "400", _wrong("invalid_client_metadata", response_types=["token"])),
    Case(
        "REG-12",
        "private_key_jwt without a key",
        "400",
        _wrong("invalid_client_metadata", token_endpoint_auth_method="private_key_jwt"),  # noqa: S106
    ),
    Case("REG-14", "a client_id of the client’s own choice", "it is ignored", own_values),
    Case(
        "REG-16",
        "a logo with javascript:",
        "400",
        _wrong("invalid_client_metadata", logo_uri="javascript:alert(1)"),
    ),
    Case("REG-18", "a registration of more than 1 MB", "413 or 400", too_large),
    Case("MGT-1", "the client’s configuration without its token", "401", foreign_hands),
)
