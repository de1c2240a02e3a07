"""What is seen of a request: its id, the endpoint that it came to, and one line in the log."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from tests.logged import Configure, read_lines
from tests.support.world import World
from tests.working_pages import person

pytest_plugins = ["tests.logged_fixtures"]
MakeWorld = Callable[..., Any]
MADE = re.compile(r"[0-9a-f]{32}")
PROXY = "127.0.0.1"
GIVEN = "7c3f-a.request_id=1"


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The access lines so far."""
    names = ("method", "endpoint", "status", "client", "ms")
    return [
        {name: getattr(record, name) for name in names}
        for record in caplog.records
        if record.name == "app.access"
    ]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything from `info` on."""
    caplog.set_level(logging.INFO, "app")
    return caplog


# ------------------------------------------------------------------------------------------ request id
@pytest.mark.parametrize("path", ["/", "/nowhere", "/mcp", "/oauth/token", "/static/ostiary.css"])
async def test_every_answer_names_its_request(world: World, path: str) -> None:
    ids = {(await world.http.get(path)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(MADE.fullmatch(one) for one in ids)


@pytest.mark.parametrize("path", ["/", "/mcp"])
async def test_the_id_of_a_trusted_proxy_is_taken_over(world: World, path: str) -> None:
    answer = await world.machine(PROXY).get(path, headers={"x-request-id": GIVEN})
    assert answer.headers["x-request-id"] == GIVEN


@pytest.mark.parametrize(
    ("source", "given"),
    [
        pytest.param("203.0.113.7", GIVEN, id="from nobody who is trusted"),
        pytest.param(PROXY, "short", id="too short"),
        pytest.param(PROXY, "x" * 129, id="too long"),
        pytest.param(PROXY, "two words of one", id="blanks"),
        pytest.param(PROXY, '"}{"level":"error"', id="meant for whoever reads the log"),
        pytest.param(PROXY, "", id="empty"),
    ],
)
async def test_no_other_id_is_taken_over(world: World, source: str, given: str) -> None:
    answer = await world.machine(source).get("/", headers={"x-request-id": given})
    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_the_id_is_bound_while_the_request_is_served_and_no_longer(
    world: World, heard: pytest.LogCaptureFixture
) -> None:
    bound: list[Any] = []

    class Bound(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "app.routers.errors":
                bound.append(structlog.contextvars.get_contextvars())

    handler = Bound()
    logging.getLogger("app").addHandler(handler)
    try:
        answer = await world.browser().get("/nowhere")
    finally:
        logging.getLogger("app").removeHandler(handler)
    assert bound == [{"request_id": answer.headers["x-request-id"]}]
    assert structlog.contextvars.get_contextvars() == {}


# ------------------------------------------------------------------------------------------ access log
async def test_a_request_is_one_line_with_its_route_and_without_its_query(
    world: World, heard: pytest.LogCaptureFixture
) -> None:
    await world.browser("198.51.100.9").get("/authorize?state=hidden&client_id=nobody")
    [line] = lines_of(heard)
    assert line.pop("ms") >= 0
    assert line == {"method": "GET", "endpoint": "/authorize", "status": 400, "client": "198.51.100.9"}
    assert "hidden" not in heard.text


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "status"),
    [
        ("GET", "/link/ost_link_x", "/link/{token}", 404),
        ("GET", "/admin/users", "/admin/users", 303),
        ("GET", "/account/security", "/account/security", 303),
        ("PUT", "/oauth/token", "/oauth/token", 405),
        ("PUT", "/admin/users", "/admin/users", 405),
        ("HEAD", "/", "/", 200),
        ("GET", "/no/such/address", "none", 404),
        ("GET", "/static/nothing.css", "/static", 404),
        ("BREW", "/", "/", 405),
        ("GET", "/mcp", "/mcp", 401),
        ("GET", "/mcp/", "/mcp", 401),
    ],
)
async def test_the_route_stands_for_the_path(
    world: World, heard: pytest.LogCaptureFixture, method: str, path: str, endpoint: str, status: int
) -> None:
    await world.browser().request(method, path)
    [line] = lines_of(heard)
    known = method if method != "BREW" else "other"
    assert (line["method"], line["endpoint"], line["status"]) == (known, endpoint, status)


@pytest.mark.parametrize("path", ["/mcp", "/base/mcp", "/base/mcp/"])
async def test_a_prefix_changes_no_endpoint(
    make_world: MakeWorld, heard: pytest.LogCaptureFixture, path: str
) -> None:
    world = await make_world(public_url="http://localhost:8000/base")
    await world.machine().get(f"http://localhost:8000{path}")
    await world.browser().get("http://localhost:8000/base/login?request=x")
    assert [line["endpoint"] for line in lines_of(heard)] == ["/mcp", "/login"]


async def test_the_client_is_whom_a_trusted_proxy_names(
    world: World, heard: pytest.LogCaptureFixture
) -> None:
    named = {"x-forwarded-for": "198.51.100.9"}
    for source in (PROXY, "203.0.113.7"):
        for path in ("/login", "/mcp"):
            await world.browser(source).get(path, headers=named)
    clients = [line["client"] for line in lines_of(heard)]
    assert clients == ["198.51.100.9"] * 2 + ["203.0.113.7"] * 2


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("all", [("/mcp", 200), ("/mcp", 401), ("/healthz", 200), ("/static", 200), ("/", 200)]),
        ("quiet", [("/mcp", 401), ("/", 200)]),
        ("off", []),
    ],
)
async def test_access_log_says_what_is_worth_a_line(
    make_world: MakeWorld, heard: pytest.LogCaptureFixture, setting: str, expected: list[tuple[str, int]]
) -> None:
    world = await make_world(access_log=setting)
    await world.create_user("alice")
    tokens = await world.tokens(await world.register())
    heard.clear()

    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.call("nonsense")).status_code == 401
    for path in ("/healthz", "/static/ostiary.css", "/"):
        assert (await world.http.get(path)).status_code == 200

    assert [(line["endpoint"], line["status"]) for line in lines_of(heard)] == expected


async def test_a_broken_request_is_a_warning_with_its_route(
    world: World, heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(world.app.state, "templates")
    assert (await world.http.get("/")).status_code == 500
    [line] = lines_of(heard)
    assert (line["endpoint"], line["status"]) == ("/", 500)
    assert "GET / failed" in heard.text
    assert [record.levelname for record in heard.records if record.name == "app.access"] == ["WARNING"]


async def test_a_client_that_goes_away_unanswered_is_told_apart(
    world: World, heard: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/oauth/token",
        "raw_path": b"/oauth/token",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        "scheme": "http",
        "server": ("localhost", 8000),
    }

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def nobody_listens(_message: Any) -> None:
        return

    await world.app(scope, gone, nobody_listens)
    [line] = lines_of(heard)
    assert (line["endpoint"], line["status"], line["client"]) == ("/oauth/token", 499, "unknown")
    assert [record.levelname for record in heard.records] == ["INFO"]


# ------------------------------------------------------------------------------------------ the record
async def test_refusals_are_on_record_under_the_whole_route(world: World) -> None:
    """FastAPI's route alone knows the part that its router was given, not the prefix of the one around it."""
    alice = await world.signed_in_browser()
    refused = await alice.get("/admin/users")
    assert refused.status_code == 403
    assert (await world.last_refusal())["event"] == "refused /admin/users"
    counted = (await world.http.get("/metrics")).text
    assert 'ostiary_refusals_total{endpoint="/admin/users",error="access_denied",' in counted


async def test_refusals_are_counted_under_the_whole_route(world: World) -> None:
    alice = await person(world, "carol")
    before = await refusals_at(world, "/account/sessions/end")
    assert (await alice.post("/account/sessions/end", data={"csrf_token": "x"})).status_code == 403
    assert await refusals_at(world, "/account/sessions/end") == before + 1


async def refusals_at(world: World, endpoint: str) -> float:
    """How often an endpoint refused."""
    lines = (await world.http.get("/metrics")).text.splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if f'refusals_total{{endpoint="{endpoint}"' in line
    )


# ------------------------------------------------------------------------------------------ the form
def test_json_lines_carry_what_is_known(configured: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configured("info", None)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("app.x").info("Said %s", "so", extra={"status": 200})
        structlog.get_logger("app.tools").warning("Said otherwise", tool="notes")
    first, second = read_lines(capsys.readouterr().err)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "Said so",
        "level": "info",
        "logger": "app.x",
        "request_id": "r1",
        "status": 200,
    }
    assert (second["event"], second["tool"], second["request_id"]) == ("Said otherwise", "notes", "r1")


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_no_secret_and_no_local_variable_is_written_with_an_exception(
    configured: Configure, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configured("info", form)
    hidden = "a password in a variable"
    signed = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    texts = [
        "ost_refresh_" + "x" * 43,
        signed,
        "Bearer " + "y" * 20,
        "https://elsewhere.example/callback?code=abcdef&state=ghi",
    ]
    for text in texts:
        try:
            assert hidden
            raise ValueError(f"It can't be used: {text}")
        except ValueError:
            logging.getLogger("app.x").exception("It failed with %s", text)
    written = capsys.readouterr().err
    assert written.count("It failed") == 4
    assert "Traceback" in written
    assert "[removed]" in written
    for secret in (hidden, "xxxx", "eyJz", "yyyy", "abcdef", "ghi"):
        assert secret not in written


@pytest.mark.parametrize(
    ("level", "ours", "theirs", "talkative"),
    [
        ("debug", "DEBUG", "DEBUG", "INFO"),
        ("info", "INFO", "WARNING", "WARNING"),
        ("error", "ERROR", "ERROR", "ERROR"),
    ],
)
def test_libraries_say_less_than_we_do(
    configured: Configure, level: str, ours: str, theirs: str, talkative: str
) -> None:
    configured(level, "json")

    def least(name: str) -> str:
        return logging.getLevelName(logging.getLogger(name).getEffectiveLevel())

    assert [least("app.x"), least("uvicorn.error"), least("sqlalchemy.engine")] == [ours, theirs, talkative]
