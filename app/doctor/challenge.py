"""The second step: the endpoint refuses who has no token, and tells where to get one (RFC 6750 §3, RFC 9728 §5.1)."""

from app.doctor.browsers import answer_result, first_fault, preflight_result
from app.doctor.evidence import Check, Evidence
from app.doctor.finding import EVERYONE, Result, fail, ok, shown, skip, warn
from app.doctor.www_authenticate import find_challenge
from app.visitor import Answer, Reply, origin_of

# What a page of a client asks to send to the endpoint.
BROWSER_HEADERS = ("authorization", "content-type", "mcp-protocol-version")
_ONE_BUILDER = "Let one place build every 401, so that none leaves without the challenge."
_POINT = 'Answer 401 with WWW-Authenticate: Bearer resource_metadata="…", the absolute URL of the metadata.'


def redirect(evidence: Evidence) -> Result:
    """The endpoint is at this address and not at another."""
    reply = evidence.answered
    if reply is None:
        return skip("There is no answer.")
    if not 300 <= reply.status < 400:
        return ok("The address itself answers.")
    target = reply.header("location") or "nowhere"
    found = f"It redirects (status {reply.status}) to {shown(target)}."
    if target in {f"{evidence.url}/", _path_and_query(f"{evidence.url}/")}:
        return fail(
            found, "Answer with and without the slash directly; a mounted application redirects (Starlette)."
        )
    if evidence.url.startswith("http://") and target.startswith("https://"):
        return fail(found, f"Give people the https address: {shown(target)}")
    if evidence.url.startswith("https://") and target.startswith("http://"):
        return fail(found, "The server does not know that TLS is in front: let it believe X-Forwarded-Proto.")
    return fail(found, "Answer here directly, or give people the address that it leads to.")


def challenge(evidence: Evidence) -> Result:
    """Who has no token gets 401 and is told where to go."""
    reply = evidence.answered
    if reply is None:
        return skip("There is no answer.")
    if 300 <= reply.status < 400:
        return skip("It redirects.")
    if reply.status == 200:
        return _without_token(evidence)
    if reply.status != 401:
        return _instead_of_401(reply)
    found, complete = _described(reply)
    if complete:
        return ok(found)
    if "no WWW-Authenticate" in found:
        return fail(found, _POINT, () if evidence.resource else EVERYONE)
    mend = _POINT if not evidence.resource else f"{_POINT} Some clients look nowhere else."
    return warn(found, mend) if evidence.resource else fail(found, mend)


def challenge_on_get(evidence: Evidence) -> Result:
    """The same for GET, with which older clients open a stream."""
    reply = evidence.got
    if isinstance(reply, Answer) and reply.status == 405:
        return ok("GET is not offered (status 405), which is allowed.")
    return _same_challenge(evidence, reply, "GET without a token")


def challenge_on_empty_bearer(evidence: Evidence) -> Result:
    """The same for a client whose token is the empty text."""
    return _same_challenge(evidence, evidence.empty_bearer, "An empty “Authorization: Bearer”")


def challenge_on_wrong_token(evidence: Evidence) -> Result:
    """The same for a client whose token is over, and `invalid_token` so that it gets a new one."""
    result = _same_challenge(evidence, evidence.wrong_token, "A token that means nothing")
    if result.status != "ok" or not isinstance(evidence.wrong_token, Answer):
        return result
    told = find_challenge(evidence.wrong_token.all("www-authenticate")) or {}
    if told.get("error") != "invalid_token":
        return warn(
            "A token that means nothing is not called invalid_token.",
            'Add error="invalid_token" to the challenge when a token came along (RFC 6750 §3.1).',
        )
    return result


def other_spelling(evidence: Evidence) -> Result:
    """People type the address with and without a slash."""
    reply = evidence.other_spelling
    if not isinstance(reply, Answer):
        return skip("It was not asked, or did not answer.")
    if not 300 <= reply.status < 400:
        return ok(f"With the other slash: {reply.words}, no redirect.")
    target = reply.header("location") or ""
    mend = "Answer both spellings directly."
    if target.startswith("http://") and evidence.url.startswith("https://"):
        mend = f"{mend} This redirect leaves TLS: let the server believe X-Forwarded-Proto of its proxy."
    return warn(
        f"With the other slash it redirects to {shown(target)}, which many clients do not follow.", mend
    )


def firewall(evidence: Evidence) -> Result:
    """Nothing in between turns the clients' programs away."""
    reply = evidence.answered
    if reply is None or not evidence.as_clients:
        return skip("It was not asked, or did not answer.")
    turned_away = {
        client: other
        for client, other in evidence.as_clients.items()
        if not isinstance(other, Answer) or (other.status != reply.status)
    }
    if not turned_away:
        return ok("Every client’s User-Agent gets the same answer.")
    told = ", ".join(f"{client}: {other.words}" for client, other in turned_away.items())
    return fail(
        f"Some User-Agents get another answer ({told}).",
        "Make an exception in the firewall, the bot protection or the CDN for the paths of this server.",
        tuple(turned_away),
    )


def browser_endpoint(evidence: Evidence) -> Result:
    """A page may call, and read the challenge."""
    return first_fault(
        preflight_result(evidence.browser.get("preflight"), BROWSER_HEADERS),
        answer_result(evidence.browser.get("endpoint"), _exposed(evidence)),
    )


CHECKS = (
    Check("redirect", "challenge", "Clients lose the request’s body or its token on the way.", redirect),
    Check("challenge", "challenge", "The 401 tells a client that, and where, people sign in.", challenge),
    Check("challenge_on_get", "challenge", "Older clients begin with GET.", challenge_on_get),
    Check(
        "challenge_on_empty_bearer",
        "challenge",
        "Some clients send an empty token before they have one.",
        challenge_on_empty_bearer,
    ),
    Check(
        "challenge_on_wrong_token",
        "challenge",
        "A token that expired has to lead to a new one.",
        challenge_on_wrong_token,
    ),
    Check("other_spelling", "challenge", "People type the address with and without a slash.", other_spelling),
    Check(
        "firewall",
        "challenge",
        "Bot protection takes assistants for bots, and answers with a page.",
        firewall,
    ),
    Check(
        "browser_endpoint", "challenge", "Clients in a browser need CORS, on errors too.", browser_endpoint
    ),
)


def _without_token(evidence: Evidence) -> Result:
    if evidence.resource is None:
        return warn(
            "It lets anyone in without a token.",
            "Nothing, if that is meant: clients connect without sign-in.",
        )
    return fail("It has metadata, but lets anyone in without a token.", _POINT)


def _instead_of_401(reply: Answer) -> Result:
    found = f"Without a token it answers {reply.words}, not 401."
    match reply.status:
        case 403 if reply.is_html:
            return fail(found, "A firewall or bot protection is in front: make an exception for this path.")
        case 404:
            return fail(found, "Correct the path: many servers have their endpoint at /mcp.")
        case 429 | 503:
            return fail(found, "Try again later; if it stays so, look into the limits and the server’s log.")
        case status if status >= 500:
            return fail(found, "Look into the log of the server and of its proxy.")
        case _:
            return fail(found, f"{_POINT} Do so before anything else of the request is looked at.")


def _described(reply: Answer) -> tuple[str, bool]:
    """What the challenge of a 401 is like, and whether it is complete."""
    values = reply.all("www-authenticate")
    if not values:
        return "There is no WWW-Authenticate in the 401.", False
    told = find_challenge(values)
    if told is None:
        return f"The challenge is not Bearer: {shown(values[0])}.", False
    pointer = told.get("resource_metadata")
    if pointer is None:
        return "The Bearer challenge has no resource_metadata.", False
    if "offline_access" in told.get("scope", "").split():
        return (
            f"401, and the metadata is at {shown(pointer)} (its scope should not name offline_access).",
            True,
        )
    return f"401, and the metadata is at {shown(pointer)}.", True


def _same_challenge(evidence: Evidence, reply: Reply | None, what: str) -> Result:
    if reply is None or evidence.answered is None or evidence.answered.status != 401:
        return skip("The endpoint does not answer with 401 in the first place.")
    if not isinstance(reply, Answer):
        return fail(f"{what}: {reply.words}.", "Look into the server’s log.", ())
    if reply.status != 401:
        return fail(f"{what} is answered with {reply.words}, not 401.", _ONE_BUILDER, ())
    found, complete = _described(reply)
    if complete:
        return ok(f"{what} gets the same challenge.")
    if not _described(evidence.answered)[1]:
        return skip("The challenge is not complete in the first place.")
    return fail(f"{what}: {found[0].lower()}{found[1:]}", _ONE_BUILDER, ())


def _exposed(evidence: Evidence) -> str | None:
    return "www-authenticate" if evidence.answered and evidence.answered.status == 401 else None


def _path_and_query(url: str) -> str:
    return url.removeprefix(origin_of(url))
