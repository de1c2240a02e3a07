"""The third step: the endpoint's metadata (RFC 9728), which names the authorization server."""

from app.doctor.browsers import answer_result
from app.doctor.evidence import Check, Evidence, document_of, text_of, texts_of
from app.doctor.finding import EVERYONE, VS_CODE, Result, fail, ok, shown, skip, warn
from app.visitor import Answer, Reply, is_web_url, origin_of, path_of

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_PROXY = "The server does not know its public address: set that in it, or let it believe its proxy's headers."
_OPEN = "The endpoint needs no token."


def inserted_address(url: str) -> str:
    """Where the metadata of a resource is by rule (RFC 9728 §3.1)."""
    return f"{origin_of(url)}{_WELL_KNOWN}{path_of(url)}"


def root_address(url: str) -> str:
    """Where clients look last."""
    return f"{origin_of(url)}{_WELL_KNOWN}"


def is_open(evidence: Evidence) -> bool:
    """Whether there is nothing to sign in to."""
    return evidence.answered is not None and evidence.answered.status == 200 and evidence.resource is None


def resource_metadata(evidence: Evidence) -> Result:
    """There is a document where the challenge points, or else where it is by rule."""
    if evidence.answered is None or is_open(evidence):
        return skip(_OPEN if evidence.answered else "There is no answer.")
    if evidence.pointed is not None:
        return _pointed(evidence, evidence.pointed)
    if evidence.resource is not None:
        return ok("It is at the well-known address; the challenge does not point to it.")
    tried = ", ".join(
        f"{reply.url}: {_what_came(reply)}" for reply in (evidence.inserted, evidence.root) if reply
    )
    return fail(f"There is none ({tried}).", f"Serve it at {inserted_address(evidence.url)} (RFC 9728 §3.1).")


def well_known(evidence: Evidence) -> Result:
    """The same document is at the address that follows from the endpoint's."""
    if evidence.resource is None or evidence.inserted is None:
        return skip("There is no metadata.")
    document = document_of(evidence.inserted)
    if document is None:
        return warn(
            f"{evidence.inserted.url}: {_what_came(evidence.inserted)}.",
            "Serve it there too: some clients do not look at the challenge.",
        )
    if document != evidence.resource:
        return fail(
            f"{evidence.inserted.url} says something else than the document that the challenge points to.",
            "Serve one document at both addresses.",
            (),
        )
    return ok("It is at the well-known address too.")


def root_document(evidence: Evidence) -> Result:
    """What is at the root does not contradict."""
    if evidence.resource is None or evidence.root is None:
        return skip("There is no metadata.")
    document = document_of(evidence.root)
    if document is None:
        if isinstance(evidence.root, Answer) and evidence.root.status == 404:
            return ok("There is none at the root, which is allowed.")
        return warn(
            f"{evidence.root.url}: {_what_came(evidence.root)}.", "Serve the document there, or answer 404."
        )
    if text_of(document, "resource") not in {text_of(evidence.resource, "resource"), origin_of(evidence.url)}:
        return warn(
            f"At the root it is for {shown(document.get('resource'))}.",
            "Serve the document of this endpoint there, or answer 404.",
        )
    return ok("It is at the root too.")


def resource(evidence: Evidence) -> Result:
    """`resource` is the address that people gave, byte for byte (RFC 9728 §3.3)."""
    if evidence.resource is None:
        return skip("There is no metadata.")
    told, url = text_of(evidence.resource, "resource"), evidence.url
    if told is None or not is_web_url(told):
        return fail(f"resource is {shown(evidence.resource.get('resource'))}.", f"Make it {url}.")
    if told == url:
        return ok("resource is the endpoint’s address.")
    found = f"resource is {shown(told)}, but the address is {url}."
    if told.rstrip("/") == url.rstrip("/"):
        # A bare origin has no other spelling in the eyes of clients that use a URL type.
        stops = () if path_of(url) == "" else (VS_CODE,)
        return fail(
            f"{found} They differ by a slash.", f"Make it {url}, or give people {shown(told)}.", stops
        )
    if told.partition("://")[2] == url.partition("://")[2]:
        return fail(f"{found} The scheme is another.", _PROXY)
    if origin_of(told) != origin_of(url):
        return fail(f"{found} The host is another.", _PROXY)
    if (path_of(url) + "/").startswith(path_of(told) + "/"):
        return fail(
            f"{found} Some clients take a part of it, others ask for the whole.",
            f"Make it {url}.",
            (VS_CODE,),
        )
    return fail(found, f"Make it {url}.")


def authorization_servers(evidence: Evidence) -> Result:
    """At least one, reached by https."""
    if evidence.resource is None:
        return skip("There is no metadata.")
    servers = texts_of(evidence.resource, "authorization_servers")
    if not servers:
        return fail(
            "The metadata names no authorization server.",
            "Name the issuer in authorization_servers, spelled as it spells itself.",
        )
    if not is_web_url(servers[0]):
        return fail(f"{shown(servers[0])} is no address.", "Name the issuer as an https URL.")
    if servers[0].startswith("http://") and evidence.url.startswith("https://"):
        return fail(f"{shown(servers[0])} is without TLS.", _PROXY)
    more = f" and {len(servers) - 1} more, which clients rarely look at" if len(servers) > 1 else ""
    return ok(f"{shown(servers[0])}{more}.")


def offline_access(evidence: Evidence) -> Result:
    """It is no scope of a resource (MCP authorization, Refresh Tokens)."""
    if evidence.resource is None:
        return skip("There is no metadata.")
    if "offline_access" in (texts_of(evidence.resource, "scopes_supported") or []):
        return warn(
            "scopes_supported names offline_access.", "Leave it to the authorization server’s metadata."
        )
    return ok("scopes_supported does not name offline_access.")


def browser_resource_metadata(evidence: Evidence) -> Result:
    """A page may read it."""
    return answer_result(evidence.browser.get("resource metadata"))


CHECKS = (
    Check(
        "resource_metadata",
        "resource metadata",
        "From it a client learns which authorization server to go to.",
        resource_metadata,
    ),
    Check("well_known", "resource metadata", "Some clients look only there.", well_known),
    Check("root_document", "resource metadata", "Older clients look only at the root.", root_document),
    Check(
        "resource",
        "resource metadata",
        "Clients refuse metadata of another resource, and tokens are made out to this name.",
        resource,
    ),
    Check(
        "authorization_servers",
        "resource metadata",
        "Without one a client has nowhere to go.",
        authorization_servers,
    ),
    Check(
        "offline_access",
        "resource metadata",
        "Clients would ask people for it as for a right to this server.",
        offline_access,
    ),
    Check(
        "browser_resource_metadata",
        "resource metadata",
        "Clients in a browser need CORS.",
        browser_resource_metadata,
    ),
)


def _pointed(evidence: Evidence, reply: Reply) -> Result:
    if document_of(reply) is not None:
        return ok(f"It is where the challenge points: {shown(reply.url)}.")
    found = f"The challenge points to {shown(reply.url)}: {_what_came(reply)}."
    if not reply.url.startswith(origin_of(evidence.url) + "/"):
        return fail(found, _PROXY)
    return fail(
        found, "Serve the document there as application/json, without a redirect or a token.", EVERYONE
    )


def _what_came(reply: Reply) -> str:
    if isinstance(reply, Answer) and reply.status == 200:
        return "a page (HTML) instead of JSON" if reply.is_html else "something that is no JSON object"
    return reply.words
