"""Ways to break a `TroubledServer`, and what its examination says of that."""

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.doctor.examination import Examination, examine
from app.doctor.finding import EVERYONE
from tests.support.troubled_server import URL, TroubledServer, allow_pages, reach_of, said

Break = Callable[[TroubledServer], object]
PRM = "/.well-known/oauth-protected-resource"
ASM = "/.well-known/oauth-authorization-server"


async def examined(server: TroubledServer, url: str = URL, *, register: bool = True) -> Examination:
    return await examine(reach_of(server.port), url, datetime.now(UTC), register=register)


def found(examination: Examination) -> dict[str, str]:
    """The checks that are not well, and how."""
    return {each.check: each.status for each in examination.findings if each.status in {"warn", "fail"}}


def stopped(examination: Examination) -> set[str]:
    return {verdict.client for verdict in examination.verdicts if not verdict.connects}


def challenge(text: str | None) -> Break:
    """A 401 with this WWW-Authenticate, or with none."""
    headers = {} if text is None else {"WWW-Authenticate": text}

    def change(server: TroubledServer) -> None:
        for method in ("GET", "POST"):
            server.instead[f"{method} /mcp"] = lambda _: JSONResponse({}, 401, headers)

    return change


def at(*asked: str, answer: Callable[[Request], Response | None]) -> Break:
    return lambda server: server.instead.update(dict.fromkeys(asked, answer))


def when(
    header: str, value: str, answer: Callable[[Request], Response]
) -> Callable[[Request], Response | None]:
    return lambda request: answer(request) if request.headers.get(header, "-").strip() == value else None


def but(**changes: str | None) -> Break:
    """CORS with other headers."""

    def cors(request: Request) -> dict[str, str]:
        names = {name.replace("_", "-").title(): value for name, value in changes.items()}
        return {name: value for name, value in {**allow_pages(request), **names}.items() if value is not None}

    return lambda server: setattr(server, "cors", cors)


def without_cors(path: str) -> Break:
    return lambda server: setattr(
        server, "cors", lambda request: {} if request.url.path == path else allow_pages(request)
    )


def says(document: str, **changes: object) -> Break:
    return lambda server: getattr(server, document).update(changes)


def both(*breaks: Break) -> Break:
    return lambda server: [each(server) for each in breaks]


NO_DOCUMENT = at(f"GET {PRM}", f"GET {PRM}/mcp", answer=said(404))
HTTP = f"http://{URL.partition('://')[2]}"
ALL = set(EVERYONE)


async def assert_found(
    server: TroubledServer, break_it: Break, expected: dict[str, str], stops: set[str], words: str
) -> None:
    """Exactly these checks are not well, exactly these clients stop, and the words stand somewhere."""
    break_it(server)

    examination = await examined(server)

    assert found(examination) == expected
    assert stopped(examination) == stops
    told = [f"{each.found} {each.mend}" for each in examination.findings]
    assert any(words in text for text in told), told
    assert all(each.mend for each in examination.findings if each.status in {"warn", "fail"})
