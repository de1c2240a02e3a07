"""The token endpoint, revocation and introspection."""

from base64 import b64encode
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import quote

from app.doctor.evidence import text_of
from app.selftest.case import REDIRECT_URI, Case, NotThere, Refuted, Scene, answered, refused

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def _wrong(statuses: Collection[int], errors: Collection[str], **form: str) -> Callable[[Scene], Any]:
    """A form of the public client."""

    async def run(scene: Scene) -> str:
        return refused(await scene.token_error({"client_id": scene.client(), **form}), statuses, errors)

    return run


async def get(scene: Scene) -> str:
    """TOK-1."""
    answer = answered(await scene.visitor.get(scene.endpoint("token")))
    if answer.status != 405:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def json_body(scene: Scene) -> str:
    """TOK-2."""
    body = b'{"grant_type": "authorization_code"}'
    return refused(
        answered(await scene.visitor.ask("POST", scene.endpoint("token"), _JSON, body)),
        {400, 415},
        {"invalid_request"},
    )


async def unknown_client(scene: Scene) -> str:
    """TOK-6."""
    form = {"grant_type": "authorization_code", "code": "selftest", "client_id": "nobody-selftest"}
    return refused(await scene.token_error(form), {401}, {"invalid_client"})


async def wrong_secret(scene: Scene) -> str:
    """TOK-7."""
    if scene.confidential is None or not text_of(dict(scene.confidential), "client_secret"):
        raise NotThere("No client with a secret could be registered.")
    pair = f"{quote(str(scene.confidential['client_id']), safe='')}:wrong"
    form = {"grant_type": "authorization_code", "code": "selftest", "redirect_uri": REDIRECT_URI}
    answer = await scene.token_error(form, authorization=f"Basic {b64encode(pair.encode()).decode()}")
    found = refused(answer, {401}, {"invalid_client"})
    if not (answer.header("www-authenticate") or "").lower().startswith("basic"):
        raise Refuted(f"{found} There is no WWW-Authenticate: Basic.")
    return found


async def too_large(scene: Scene) -> str:
    """HDR-8."""
    form = {"grant_type": "authorization_code", "code": "x" * 1_200_000, "client_id": "nobody-selftest"}
    answer = await scene.token_error(form)
    if answer.status not in {400, 413}:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def revocation_of_nothing(scene: Scene) -> str:
    """REV-1."""
    form = f"token=selftest&client_id={quote(scene.client(), safe='')}"
    answer = answered(await scene.visitor.post_form(scene.endpoint("revocation"), form))
    if answer.status != 200:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def introspection_by_anyone(scene: Scene) -> str:
    """INT-1."""
    answer = answered(await scene.visitor.post_form(scene.endpoint("introspection"), "token=selftest"))
    return refused(answer, {401})


async def introspection_by_a_public_client(scene: Scene) -> str:
    """INT-2."""
    form = f"token=selftest&client_id={quote(scene.client(), safe='')}"
    return refused(answered(await scene.visitor.post_form(scene.endpoint("introspection"), form)), {401})


_CODE = {"grant_type": "authorization_code", "code": "selftest", "redirect_uri": REDIRECT_URI}
CASES = (
    Case("TOK-1", "GET", "405", get),
    Case("TOK-2", "a body in JSON", "400 or 415 invalid_request", json_body),
    Case("TOK-4", "no grant_type", "400 invalid_request", _wrong({400}, {"invalid_request"})),
    Case(
        "TOK-4",
        "grant type password",
        "400 unsupported_grant_type",
        _wrong({400}, {"unsupported_grant_type", "unauthorized_client"}, grant_type="password"),
    ),
    Case("TOK-6", "an unknown client", "401 invalid_client", unknown_client),
    Case("TOK-7", "a wrong client secret", "401 invalid_client", wrong_secret),
    Case(
        "TOK-12",
        "a code that was never issued",
        "400 invalid_grant",
        _wrong({400}, {"invalid_grant"}, **_CODE, code_verifier="selftest-" * 6),
    ),
    Case(
        "TOK-15",
        "the same without a verifier",
        "400",
        _wrong({400}, {"invalid_grant", "invalid_request"}, **_CODE),
    ),
    Case(
        "TOK-22",
        "client_credentials of a public client",
        "400 or 401",
        _wrong(
            {400, 401},
            {"unauthorized_client", "invalid_client", "unsupported_grant_type"},
            grant_type="client_credentials",
        ),
    ),
    Case(
        "REF-1",
        "a refresh token that was never issued",
        "400 invalid_grant",
        _wrong({400}, {"invalid_grant"}, grant_type="refresh_token", refresh_token="selftest"),  # noqa: S106
    ),
    Case("HDR-8", "a form of more than 1 MB", "413 or 400", too_large),
    Case("REV-1", "revocation of a token that was never issued", "200", revocation_of_nothing),
    Case("INT-1", "introspection by anyone", "401", introspection_by_anyone),
    Case("INT-2", "introspection by a public client", "401", introspection_by_a_public_client),
)
