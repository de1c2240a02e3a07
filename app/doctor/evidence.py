"""What the walk collected, and how a check is made of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.doctor.finding import Finding, Result, Step
from app.visitor import Answer, Reply


@dataclass(frozen=True, slots=True)
class Registration:
    """A client that was registered to see whether it can be; `removed` is None if there was nothing to remove."""

    reply: Reply
    removed: bool | None = None


@dataclass(slots=True)
class Evidence:
    """The replies to everything that was asked; None where it made no sense to ask.

    Attributes:
        url: of the MCP endpoint, as people give it to their clients.
        challenged: to `initialize` without a token; `got`, `empty_bearer`, `wrong_token` and `other_spelling` (with
            or without a slash at the end) in other ways.
        as_clients: to the same with the `User-Agent` of each client.
        browser: to what a page of the MCP Inspector asks, by what it is.
        pointed, inserted, root: the resource's metadata where the challenge points, with the path inserted, and at the
            root; `resource` is what clients take.
        issuer: the authorization server that clients take; `probes` are where they look for its metadata, up to
            what is `server`.
        registrations: by client, only if they were wished for; `other_port` is the authorization request of one
            of them at another port of loopback.
    """

    url: str
    now: datetime
    addresses: Sequence[str] = ()
    challenged: Reply | None = None
    got: Reply | None = None
    empty_bearer: Reply | None = None
    wrong_token: Reply | None = None
    other_spelling: Reply | None = None
    as_clients: Mapping[str, Reply] = field(default_factory=dict)
    browser: dict[str, Reply] = field(default_factory=dict)
    pointed: Reply | None = None
    inserted: Reply | None = None
    root: Reply | None = None
    resource: dict[str, Any] | None = None
    issuer: str | None = None
    probes: Sequence[Reply] = ()
    server: dict[str, Any] | None = None
    authorize: Reply | None = None
    token: Reply | None = None
    registrations: dict[str, Registration] = field(default_factory=dict)
    other_port: Reply | None = None
    replies: Sequence[Reply] = ()

    @property
    def answered(self) -> Answer | None:
        """What the endpoint answered, if anything."""
        return self.challenged if isinstance(self.challenged, Answer) else None


@dataclass(frozen=True, slots=True)
class Check:
    """A named look at the evidence, and why it is looked at."""

    name: str
    step: Step
    why: str
    look: Callable[[Evidence], Result]

    def find(self, evidence: Evidence) -> Finding:
        """Look."""
        result = self.look(evidence)
        return Finding(self.name, self.step, result.status, result.found, self.why, result.mend, result.stops)


def document_of(reply: Reply | None) -> dict[str, Any] | None:
    """The JSON object that was answered with 200, if that is what came."""
    return reply.document if isinstance(reply, Answer) and reply.status == 200 else None


def text_of(document: Mapping[str, Any] | None, name: str) -> str | None:
    """A member that is a text."""
    value = (document or {}).get(name)
    return value if isinstance(value, str) else None


def texts_of(document: Mapping[str, Any] | None, name: str) -> list[str] | None:
    """A member that is a list of texts; None if there is none, or it is something else."""
    value = (document or {}).get(name)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return None
    return value
