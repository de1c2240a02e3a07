"""What a page on another origin may do (CORS): the MCP Inspector and chats in a browser are such pages."""

from collections.abc import Iterable

from app.doctor.finding import INSPECTOR, Result, fail, ok, skip
from app.visitor import Answer, Reply

# Where the MCP Inspector's page comes from.
ORIGIN = "http://localhost:6274"
_MEND = "Let the server answer pages of other origins on the paths for machines (CORS, without credentials)"


def preflight_result(reply: Reply | None, wanted: Iterable[str]) -> Result:
    """Whether a page may send these headers, judged by the answer to its preflight."""
    if not isinstance(reply, Answer):
        return skip("It was not asked, or did not answer.")
    if not 200 <= reply.status < 300:
        return _fail(
            f"The preflight (OPTIONS) is answered with {reply.words}.", "with status 204, without a token"
        )
    if not _allows(reply):
        return _fail("The preflight’s answer has no Access-Control-Allow-Origin for pages of others.", "")
    allowed = _list_of(reply, "access-control-allow-headers")
    # The wildcard does not stand for Authorization (Fetch standard, “CORS-preflight fetch”).
    missing = [
        name for name in wanted if name not in allowed and ("*" not in allowed or name == "authorization")
    ]
    if missing:
        return _fail(
            f"A page may not send {', '.join(missing)}.",
            "naming these headers in Access-Control-Allow-Headers",
        )
    return ok("The preflight is answered as it has to be.")


def answer_result(reply: Reply | None, exposed: str | None = None) -> Result:
    """Whether a page may read an answer, and this header of it."""
    if not isinstance(reply, Answer):
        return skip("It was not asked, or did not answer.")
    if not _allows(reply):
        return _fail(
            "The answer has no Access-Control-Allow-Origin, so a page can’t read it.", "on errors too"
        )
    if exposed and not {exposed, "*"} & _list_of(reply, "access-control-expose-headers"):
        return _fail(f"A page can’t read {exposed} of the answer.", "with Access-Control-Expose-Headers")
    return ok("A page can read the answer.")


def first_fault(*results: Result) -> Result:
    """The first that is not well, or the last."""
    return next((result for result in results if result.status == "fail"), results[-1])


def _fail(found: str, how: str) -> Result:
    return fail(found, f"{_MEND}, {how}." if how else f"{_MEND}.", (INSPECTOR,))


def _allows(reply: Answer) -> bool:
    return reply.header("access-control-allow-origin") in {"*", ORIGIN}


def _list_of(reply: Answer, name: str) -> set[str]:
    return {each.strip().lower() for each in (reply.header(name) or "").split(",")}
