"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]
Step = Literal[
    "address",
    "challenge",
    "resource metadata",
    "authorization server",
    "registration",
    "authorization",
    "token",
    "all along",
]
"""The steps of a client in their order; “all along” is what every answer has to keep to."""
STEPS: tuple[Step, ...] = (
    "address",
    "challenge",
    "resource metadata",
    "authorization server",
    "registration",
    "authorization",
    "token",
    "all along",
)

CLAUDE, CHATGPT, CURSOR, VS_CODE, INSPECTOR = "Claude", "ChatGPT", "Cursor", "VS Code", "MCP Inspector"
EVERYONE = (CLAUDE, CHATGPT, CURSOR, VS_CODE, INSPECTOR)
# These call from their makers' computers, the others from the person's own.
FROM_AFAR = (CLAUDE, CHATGPT)
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended: what was found, how to mend it, and who gets no further because of it."""

    status: Status
    found: str
    mend: str = ""
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A result with the name of its check, the step that it belongs to, and why it matters."""

    check: str
    step: Step
    status: Status
    found: str
    why: str
    mend: str
    stops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far a client gets; `step` counts from one and is None for one that gets through."""

    client: str
    connects: bool
    step: int | None
    words: str


def ok(found: str) -> Result:
    """As it has to be."""
    return Result("ok", found)


def warn(found: str, mend: str, *stops: str) -> Result:
    """It works, for most."""
    return Result("warn", found, mend, stops)


def fail(found: str, mend: str, stops: tuple[str, ...] = EVERYONE) -> Result:
    """It is broken."""
    return Result("fail", found, mend, stops)


def skip(found: str) -> Result:
    """Not looked at, and why."""
    return Result("skip", found)


def shown(value: object) -> str:
    """A value of the other side, short enough for a sentence."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
