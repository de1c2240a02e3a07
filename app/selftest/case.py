"""A case, how it ends, and what cases share."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from app.doctor.evidence import Evidence, text_of
from app.doctor.finding import shown
from app.doctor.walk import remove_client
from app.visitor import Answer, Reply, Visitor

EVIL = "https://evil.example"
REDIRECT_URI = "https://client.example/callback"
# RFC 7636, appendix B.
CODE_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


class Refuted(Exception):
    """The server does not do what it should; the message is what came instead."""


class NotThere(Exception):
    """The case can't be tried here; the message says why."""


@dataclass(slots=True)
class Scene:
    """The server, what is known of it, and the two clients that were registered for the cases.

    Attributes:
        token: a valid access token for the endpoint, if there is one; `foreign` is one for another resource.
        left: clients that could not be removed.
    """

    visitor: Visitor
    evidence: Evidence
    public: Mapping[str, Any] | None = None
    confidential: Mapping[str, Any] | None = None
    token: str | None = None
    foreign: str | None = None
    left: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the MCP endpoint."""
        return self.evidence.url

    @property
    def issuer(self) -> str:
        """Of the authorization server."""
        return self.evidence.issuer or ""

    def endpoint(self, name: str) -> str:
        """An endpoint of the metadata, by the first part of its member's name.

        Raises:
            NotThere.
        """
        told = text_of(self.evidence.server, f"{name}_endpoint")
        if told is None:
            raise NotThere(f"There is no {name} endpoint.")
        return told

    def client(self) -> str:
        """The id of the public client.

        Raises:
            NotThere.
        """
        if self.public is None:
            raise NotThere("No client could be registered.")
        return str(self.public["client_id"])

    async def token_error(self, form: Mapping[str, str], **headers: str) -> Answer:
        """What the token endpoint answers to a form."""
        return answered(
            await self.visitor.post_form(self.endpoint("token"), urlencode(form), headers_of(headers))
        )

    async def authorize(self, **changes: str | None) -> Answer:
        """What a browser gets that nobody is signed in with; a change to None leaves a parameter out."""
        query = {
            "response_type": "code",
            "client_id": self.client(),
            "redirect_uri": REDIRECT_URI,
            "state": "selftest",
            "code_challenge": CODE_CHALLENGE,
            "code_challenge_method": "S256",
            "resource": text_of(self.evidence.resource, "resource") or self.url,
            **changes,
        }
        told = urlencode({name: value for name, value in query.items() if value is not None}, quote_via=quote)
        address = self.endpoint("authorization")
        joint = "&" if "?" in address else "?"
        return answered(await self.visitor.get(f"{address}{joint}{told}", {"Accept": "text/html"}))

    async def registration(self, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """What the registration endpoint answers; a client that was made by mistake is removed again."""
        reply = await self.visitor.post_json(self.endpoint("registration"), body, headers)
        return await self.undo(reply)

    async def undo(self, reply: Reply) -> Answer:
        """Remove what a registration made, if it made something."""
        answer = answered(reply)
        made = text_of(answer.document, "client_id") if answer.status in {200, 201} else None
        if made is not None and not await remove_client(self.visitor, reply):
            self.left.append(made)
        return answer


Run = Callable[[Scene], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table of wrong input: what is sent, what is expected, and the trying of it.

    `run` returns what came if that is as it should be, and raises `Refuted` or `NotThere`.
    """

    row: str
    sent: str
    expected: str
    run: Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended."""

    row: str
    sent: str
    expected: str
    status: Literal["ok", "fail", "skip"]
    found: str


async def try_case(case: Case, scene: Scene) -> Outcome:
    """Try one."""
    try:
        return _outcome(case, "ok", await case.run(scene))
    except Refuted as refuted:
        return _outcome(case, "fail", str(refuted))
    except NotThere as missing:
        return _outcome(case, "skip", str(missing))


def _outcome(case: Case, status: Literal["ok", "fail", "skip"], found: str) -> Outcome:
    return Outcome(case.row, case.sent, case.expected, status, shown(found))


# ------------------------------------------------------------------------------------------ what cases expect
def answered(reply: Reply) -> Answer:
    """The answer.

    Raises:
        Refuted: there is none.
    """
    if isinstance(reply, Answer):
        return reply
    raise Refuted(f"{reply.method} {reply.url}: {reply.words}.")


def refused(answer: Answer, statuses: Collection[int], errors: Collection[str] = ()) -> str:
    """An error in JSON that nobody may keep, with one of these statuses and codes.

    Raises:
        Refuted.
    """
    error = text_of(answer.document, "error")
    found = f"{answer.words}{f', {error}' if error else ''}"
    if answer.status not in statuses:
        raise Refuted(f"{found}.")
    if error is None:
        raise Refuted(f"{found}, and no error in JSON.")
    if errors and error not in errors:
        raise Refuted(f"{found}.")
    if "no-store" not in (answer.header("cache-control") or "").lower():
        raise Refuted(f"{found}, which may be kept: Cache-Control is not no-store.")
    return f"{found}."


def page(answer: Answer, *never: str) -> str:
    """A page with an error, that leads nowhere and repeats nothing of these unescaped.

    Raises:
        Refuted.
    """
    target = answer.header("location")
    if target is not None:
        raise Refuted(f"{answer.words}, to {target}")
    if not 400 <= answer.status < 500:
        raise Refuted(f"{answer.words}.")
    text = answer.body.decode("utf-8", "replace")
    if 'http-equiv="refresh"' in text.lower() or any(each in text for each in never):
        raise Refuted(f"{answer.words}, which leads on, or repeats what was sent.")
    return f"{answer.words}."


def headers_of(named: Mapping[str, str]) -> Mapping[str, str]:
    """Keyword arguments as headers."""
    return {name.replace("_", "-").title(): value for name, value in named.items()}
