"""Traces: what a request did and how long that took, and nothing of what it carried."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from app.tracing import Tracing, tracing_from_environment
from tests.logged import Configure, read_lines
from tests.support.world import World, running_world
from tests.test_storage import Flow, found, spellings

pytest_plugins = ["tests.logged_fixtures"]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Traced:
    """A server and the spans that it made."""

    def __init__(self, world: World, exporter: InMemorySpanExporter) -> None:
        self.world = world
        self._exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that ended, in that order."""
        return self._exporter.get_finished_spans()

    def requests(self) -> list[ReadableSpan]:
        """Those of requests."""
        return [span for span in self.spans if span.kind is SpanKind.SERVER]

    def parts_of(self, span: ReadableSpan) -> list[ReadableSpan]:
        """What was done in this span."""
        assert span.context is not None
        return [each for each in self.spans if each.parent and each.parent.span_id == span.context.span_id]

    def clear(self) -> None:
        """Begin anew."""
        self._exporter.clear()


@pytest.fixture
async def traced(database_url: str) -> AsyncIterator[Traced]:
    """A server with the settings of `make run`, and one person, alice."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider.get_tracer("test"), provider.shutdown)
    async with running_world(database_url, tracing=tracing) as world:
        await world.create_user("alice")
        exporter.clear()
        yield Traced(world, exporter)


async def test_a_request_is_a_span_with_its_statements_in_it(traced: Traced) -> None:
    answer = await traced.world.machine("198.51.100.9").get("/authorize?client_id=nobody&state=hidden")
    [span] = traced.requests()
    assert span.name == "GET /authorize"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/authorize",
        "http.response.status_code": 400,
        "client.address": "198.51.100.9",
        "ostiary.request_id": answer.headers["x-request-id"],
    }
    parts = traced.parts_of(span)
    selects = [part for part in parts if part.name == "SELECT"]
    assert selects
    system = "sqlite" if traced.world.database.is_sqlite else "postgresql"
    for part in selects:
        attributes = part.attributes or {}
        assert attributes["db.system.name"] == system
        assert "nobody" not in str(attributes["db.query.text"])
    assert any("FROM clients" in str((part.attributes or {})["db.query.text"]) for part in selects)


async def test_sto_1_no_secret_of_a_whole_flow_is_in_a_span(traced: Traced) -> None:
    flow = Flow()
    await flow.run(traced.world)
    written = "\n".join(span.to_json() for span in traced.spans)
    names = {span.name for span in traced.requests()}
    assert names >= {"POST /mcp", "POST /oauth/token", "GET /authorize", "POST /login"}
    assert "INSERT INTO refresh_tokens" in written
    assert found(flow.secrets, written) == []
    assert spellings("POST /mcp")[0] in written


async def test_what_works_in_the_background_makes_no_spans(traced: Traced) -> None:
    await traced.world.app.state.revocations.poll()
    await traced.world.services.tallies.write()
    assert traced.spans == ()


async def test_a_statement_that_fails_is_told_without_its_words(traced: Traced) -> None:
    async with traced.world.database.transaction() as tx:
        await tx.execute(sa.text("ALTER TABLE clients RENAME TO moved"))
    answer = await traced.world.machine().get("/authorize?client_id=client_hidden")
    assert answer.status_code == 500
    [span] = traced.requests()
    assert (span.name, span.status.is_ok) == ("GET /authorize", False)
    [failed] = [part for part in traced.parts_of(span) if not part.status.is_ok]
    assert (failed.attributes or {})["error.type"]
    assert failed.status.description is None
    assert failed.events == ()
    assert "hidden" not in failed.to_json()


@pytest.mark.parametrize(
    ("source", "continued"), [("127.0.0.1", True), ("203.0.113.7", False)], ids=["trusted", "stranger"]
)
async def test_only_a_trusted_proxy_says_what_trace_a_request_belongs_to(
    traced: Traced, source: str, continued: bool
) -> None:
    headers = {"traceparent": PARENT}
    for path in ("/healthz", "/mcp"):
        await traced.world.machine(source).get(path, headers=headers)
    for span in traced.requests():
        assert span.context is not None
        assert (f"{span.context.trace_id:032x}" == TRACE) is continued
        assert (span.parent is not None) is continued


async def test_the_log_names_the_trace(
    traced: Traced, configured: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("info", "json")
    answer: httpx2.Response = await traced.world.machine().get("/")
    assert answer.status_code == 200
    [line] = read_lines(capsys.readouterr().err)
    [span] = traced.requests()
    assert span.context is not None
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"


# ------------------------------------------------------------------------------------------ the environment
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({}, id="no collector"),
        pytest.param({ENDPOINT: ""}, id="an empty one"),
        pytest.param({ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, id="switched off"),
    ],
)
def test_without_a_collector_there_are_no_traces(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing_from_environment() is None


def test_without_the_extra_the_server_runs_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    missing: Any = None
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", missing)
    assert tracing_from_environment() is None
    assert "pip install ostiary[otel]" in caplog.text
