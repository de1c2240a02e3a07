"""The last steps that can be seen from outside: registration, the way to the sign-in, and the token endpoint."""

from app.doctor.browsers import answer_result, preflight_result
from app.doctor.evidence import Check, Evidence, Registration, text_of
from app.doctor.finding import (
    CHATGPT,
    CLAUDE,
    CURSOR,
    EVERYONE,
    INSPECTOR,
    VS_CODE,
    Result,
    fail,
    ok,
    shown,
    skip,
    warn,
)
from app.visitor import Answer

_NONE = "There is no authorization server’s metadata."
_NOT_ASKED = "Not asked, because it leaves a client behind."


def ways_to_register(evidence: Evidence) -> Result:
    """A client becomes known without its maker's doing."""
    server = evidence.server
    if server is None:
        return skip(_NONE)
    documents = server.get("client_id_metadata_document_supported") is True
    if text_of(server, "registration_endpoint"):
        both = " and by a document at their address (CIMD)" if documents else ""
        return ok(f"Clients register themselves{both}.")
    if documents:
        return fail(
            "Clients are known by a document at their address (CIMD) alone.",
            "Offer dynamic registration too (registration_endpoint, RFC 7591), until every client has such a document.",
            (CURSOR, INSPECTOR),
        )
    return fail(
        "Clients can’t make themselves known.",
        "Offer dynamic registration (registration_endpoint, RFC 7591) or metadata documents"
        " (client_id_metadata_document_supported); or make a client by hand, and give people its id.",
    )


def registers(client: str) -> Check:
    """Whether one client's registration is taken."""

    def look(evidence: Evidence) -> Result:
        if evidence.server is None:
            return skip(_NONE)
        if text_of(evidence.server, "registration_endpoint") is None:
            return skip("There is no registration endpoint.")
        registration = evidence.registrations.get(client)
        return skip(_NOT_ASKED) if registration is None else _registered(client, registration)

    slug = client.lower().replace(" ", "_")
    return Check(f"registers_{slug}", "registration", f"{client} does so before anyone signs in.", look)


def browser_registration(evidence: Evidence) -> Result:
    """A page may register."""
    return preflight_result(evidence.browser.get("registration"), ["content-type"])


def authorization_endpoint(evidence: Evidence) -> Result:
    """There is something at the address that people are sent to."""
    reply = evidence.authorize
    if reply is None:
        return skip(_NONE)
    if not isinstance(reply, Answer):
        return fail(
            f"{shown(reply.url)}: {reply.words}.", "Correct authorization_endpoint, or let the server answer."
        )
    if reply.status in {404, 405} or reply.status >= 500:
        return fail(
            f"{shown(reply.url)} answers an empty request with {reply.words}.",
            "Answer it with a page that tells what is wrong (RFC 6749 §4.1.2.1), at the address in the metadata.",
        )
    return ok(f"It answers an empty request with {reply.words}.")


def other_port(evidence: Evidence) -> Result:
    """A loopback redirect URI counts at any port (RFC 8252 §7.3)."""
    reply = evidence.other_port
    if reply is None:
        return skip("No client was registered to try it with.")
    if isinstance(reply, Answer) and reply.status < 400:
        return ok("http://localhost is taken at any port.")
    return fail(
        f"http://localhost at another port than the registered one is answered with {reply.words}.",
        "Compare redirect URIs on 127.0.0.1, [::1] and localhost without their port.",
        (VS_CODE,),
    )


def token_endpoint(evidence: Evidence) -> Result:
    """It answers a wrong code as clients understand it (RFC 6749 §5.2)."""
    reply = evidence.token
    if reply is None:
        return skip(_NONE)
    mend = 'Answer errors with status 400 or 401 and JSON, as in {"error": "invalid_grant"}.'
    if not isinstance(reply, Answer):
        return fail(
            f"{shown(reply.url)}: {reply.words}.", "Correct token_endpoint, or let the server answer."
        )
    if reply.status in {400, 401} and reply.document is not None and text_of(reply.document, "error"):
        return ok(f"A wrong code is refused with {shown(reply.document['error'])}.")
    if reply.status == 200:
        return fail("A wrong code is answered with status 200.", mend)
    if reply.is_html:
        return fail(
            f"A wrong code is answered with {reply.words}.", f"{mend} A firewall in front may be who answers."
        )
    return fail(f"A wrong code is answered with {reply.words}, and without an error in JSON.", mend)


def browser_token(evidence: Evidence) -> Result:
    """A page may read its answer."""
    return answer_result(evidence.browser.get("token"))


CHECKS = (
    Check(
        "ways_to_register", "registration", "Else everyone has to make a client by hand.", ways_to_register
    ),
    *(registers(client) for client in EVERYONE),
    Check("browser_registration", "registration", "Clients in a browser need CORS.", browser_registration),
    Check(
        "authorization_endpoint", "authorization", "There people sign in and approve.", authorization_endpoint
    ),
    Check("other_port", "authorization", "Programs take whatever port is free.", other_port),
    Check("token_endpoint", "token", "Clients read the error, and act on it.", token_endpoint),
    Check("browser_token", "token", "Clients in a browser need CORS.", browser_token),
)
# With a document at their own address these need no registration.
KNOWN_BY_DOCUMENT = (CLAUDE, CHATGPT, VS_CODE)


def _registered(client: str, registration: Registration) -> Result:
    reply = registration.reply
    stops = (client,)
    if not isinstance(reply, Answer):
        return fail(f"{reply.words}.", "Correct registration_endpoint, or let the server answer.", stops)
    document = reply.document or {}
    if reply.status in {200, 201} and text_of(document, "client_id"):
        left = {
            True: " and removed it again",
            False: f" and could not remove it: {shown(document['client_id'])}",
            None: f", which stays: {shown(document['client_id'])}",
        }[registration.removed]
        if registration.removed is False:
            return warn(
                f"It made a client{left}.", "Look into the server’s log: DELETE is refused (RFC 7592 §2.3)."
            )
        return ok(f"It made a client{left}.")
    said = text_of(document, "error")
    described = text_of(document, "error_description")
    told = f" ({': '.join(filter(None, (said, described and shown(described))))})" if said else ""
    mend = "Answer 201 with the client as JSON (RFC 7591 §3.2.1)."
    if said == "invalid_redirect_uri":
        mend = f"Allow the redirect URIs of {client}."
    elif reply.status in {401, 403}:
        mend = "Let clients register without a token, or make clients by hand."
    elif reply.status in {429, 503}:
        mend = "Try again later; if it stays so, count registrations by client and failure, not by address alone."
    return fail(f"Its registration is answered with {reply.words}{told}.", mend, stops)
