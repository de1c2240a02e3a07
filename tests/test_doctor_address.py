"""The first step of the doctor: names, connections, TLS and time; and what the pure checks say of slow answers."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread
import httpcore2
import pytest

from app.cli.doctor import read_target
from app.doctor.evidence import Evidence
from app.doctor.examination import CHECKS, Examination, examine
from app.doctor.finding import CHATGPT, CLAUDE, EVERYONE, Finding
from app.doctor.www_authenticate import find_challenge
from app.visitor import Answer, NotAdmitted, Reach, Visitor
from tests.command_line import CommandLine
from tests.support.process import free_port
from tests.support.troubled_server import (
    URL,
    authority,
    certified,
    reach_of,
    running_troubled,
)

NOW = datetime.now(UTC)


def finding(examination: Examination, check: str) -> Finding:
    return next(each for each in examination.findings if each.check == check)


@contextmanager
def listening_as_before_2008() -> Iterator[int]:
    """TLS 1.1 and nothing later; the port. A blocking socket sends the alert, which asyncio swallows."""
    context = certified("mcp.example")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def answer(listener: socket.socket) -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


# ------------------------------------------------------------------------------------------------------- TLS
@pytest.mark.parametrize(
    ("context", "words", "mend"),
    [
        pytest.param(
            lambda: certified("mcp.example", since=-9, until=-1), "has expired", "Renew", id="expired"
        ),
        pytest.param(
            lambda: certified("mcp.example", since=2), "not valid yet", "clock", id="from the future"
        ),
        pytest.param(
            lambda: certified("other.example"), "another host", "names this host", id="another host"
        ),
        pytest.param(
            lambda: certified("mcp.example", unknown=True), "trusted", "fullchain.pem", id="unknown authority"
        ),
        pytest.param(lambda: None, "does not speak TLS", "port", id="no TLS at all"),
    ],
)
async def test_what_is_wrong_with_tls_is_told_apart(context: object, words: str, mend: str) -> None:
    with running_troubled(context()) as server:  # type: ignore[operator]
        examination = await examine(reach_of(server.port), URL, NOW)

    told = finding(examination, "certificate")
    assert told.status == "fail"
    assert words in told.found
    assert mend in told.mend
    assert told.stops == EVERYONE
    assert finding(examination, "reachable").status == "skip"
    assert [each.check for each in examination.findings if each.status == "fail"] == ["certificate"]
    assert {verdict.step for verdict in examination.verdicts} == {1}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_an_old_version_of_tls_is_told() -> None:
    with listening_as_before_2008() as port:
        examination = await examine(reach_of(port), URL, NOW)

    assert "no TLS 1.2 or later" in finding(examination, "certificate").found


async def test_a_certificate_that_ends_soon_is_a_warning() -> None:
    with running_troubled(certified("mcp.example", until=5)) as server:
        examination = await examine(reach_of(server.port), URL, NOW)

    assert finding(examination, "certificate").status == "warn"
    assert "expires in " in finding(examination, "certificate").found
    assert not examination.broken


# ----------------------------------------------------------------------------------------- names and connections
async def test_a_name_that_leads_nowhere_is_told_and_nothing_else_is_asked() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror

    async with Visitor(Reach(nowhere)) as visitor:
        assert await visitor.addresses(URL) == []
    examination = await examine(Reach(nowhere), URL, NOW)

    assert finding(examination, "dns").status == "fail"
    assert {each.status for each in examination.findings} == {"ok", "fail", "skip"}
    assert [each.check for each in examination.findings if each.status == "fail"] == ["dns"]
    assert all("step 1" in verdict.words for verdict in examination.verdicts)


async def test_a_port_that_nobody_listens_on_is_told() -> None:
    examination = await examine(Reach(), f"http://127.0.0.1:{free_port()}/mcp", NOW)

    assert "nothing takes connections there" in finding(examination, "reachable").found.lower()
    assert examination.broken


async def test_this_computer_is_no_address_for_clients_from_afar_but_for_the_others() -> None:
    with running_troubled() as server:
        server.origin = f"http://127.0.0.1:{server.port}"
        examination = await examine(Reach(), f"{server.origin}/mcp", NOW, register=True)

    assert finding(examination, "public").status == "warn"
    assert {verdict.client for verdict in examination.verdicts if not verdict.connects} == {CLAUDE, CHATGPT}
    assert not examination.broken


async def test_http_away_from_this_computer_is_told() -> None:
    with running_troubled() as server:
        server.origin = "http://mcp.example"
        examination = await examine(reach_of(server.port), "http://mcp.example/mcp", NOW)

    assert [each.check for each in examination.findings if each.status == "fail"] == ["encrypted"]


# --------------------------------------------------------------------------------------------------------- time
async def test_a_server_that_never_answers_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reach = Reach(each=0.2)
        examination = await examine(reach, f"http://127.0.0.1:{port}/mcp", NOW)

    assert finding(examination, "reachable").status == "fail"
    assert "No answer in time" in finding(examination, "reachable").found
    assert finding(examination, "speed").status == "fail"


async def test_an_examination_ends_when_its_time_is_over() -> None:
    with running_troubled(certified("mcp.example")) as server:
        examination = await examine(reach_of(server.port, together=0), URL, NOW)

    assert server.seen == []
    assert "took too long" in finding(examination, "reachable").found


@pytest.mark.parametrize(("seconds", "status"), [(1.9, "ok"), (2.1, "warn"), (10.1, "fail")])
def test_a_slow_answer_is_told(seconds: float, status: str) -> None:
    evidence = Evidence(URL, NOW, replies=[Answer("POST", URL, 401, (), b"", seconds)])

    [speed] = [check.find(evidence) for check in CHECKS if check.name == "speed"]

    assert speed.status == status


def test_without_evidence_nothing_is_made_up() -> None:
    told = [check.find(Evidence(URL, NOW)) for check in CHECKS]

    assert {each.check for each in told if each.status not in {"skip"}} == {"dns", "encrypted", "retry_after"}


async def test_what_is_no_answer_of_http_is_told() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-nobody\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        examination = await examine(Reach(), f"http://127.0.0.1:{port}/mcp", NOW)

    assert "without an answer that is HTTP" in finding(examination, "reachable").found


# --------------------------------------------------------------------------------------------------- challenges
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ['Bearer resource_metadata="https://a/b", scope="x y"'],
            {"resource_metadata": "https://a/b", "scope": "x y"},
        ),
        (["Bearer"], {}),
        (["bearer error=invalid_token"], {"error": "invalid_token"}),
        (['Basic realm="Bearer x=y", Bearer realm="z"'], {"realm": "z"}),
        (['DPoP algs="ES256", Bearer realm="a, DPoP b"'], {"realm": "a, DPoP b"}),
        (['DPoP algs="ES256"', 'Bearer realm="\\"q\\""'], {"realm": '"q"'}),
        (['Basic realm="Bearer"'], None),
        ([], None),
    ],
)
def test_challenges_are_read_as_the_rules_have_it(values: list[str], expected: dict[str, str] | None) -> None:
    assert find_challenge(values) == expected


# --------------------------------------------------------------------------------------------- the command line
def test_the_command_trusts_an_authority_of_ones_own_and_says_so_in_json(tmp_path: Path) -> None:
    file = tmp_path / "authority.pem"
    file.write_text(authority()[0])
    cli = CommandLine({}, tmp_path)
    with running_troubled(certified("localhost")) as server:
        server.origin = f"https://127.0.0.1:{server.port}"
        well = cli.inside("doctor", f"{server.origin}/mcp", "--ca-file", str(file), "--json")
        unknown = cli.inside("doctor", f"{server.origin}/mcp")

    assert well.data["broken"] is False
    assert [each["client"] for each in well.data["clients"]] == list(EVERYONE)
    assert {each["check"] for each in well.data["checks"]} == {check.name for check in CHECKS}
    assert unknown.code == 1
    assert "fullchain.pem" in unknown.output
    assert "stops at step 1 (address)" in unknown.output


@pytest.mark.parametrize(
    "url", ["mcp.example/mcp", "ftp://mcp.example/mcp", "https://a@b/mcp", "https://b/mcp?x=1"]
)
def test_what_is_no_address_of_an_endpoint_is_wrong_usage(tmp_path: Path, url: str) -> None:
    assert CommandLine({}, tmp_path).inside("doctor", url).code == 2


def test_certificates_that_cannot_be_read_are_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in ("empty.pem", "missing.pem"):
        result = CommandLine({}, tmp_path).inside("doctor", URL, "--ca-file", str(tmp_path / file))
        assert (result.code, result.output) == (2, "")


async def _forbidden(url: str, host: str) -> bool:
    # From the thread of a command, where no event loop runs yet.
    reach = await anyio.to_thread.run_sync(read_target, url, None)
    try:
        await reach.backend.connect_tcp(host, free_port(), timeout=1.0)
    except NotAdmitted:
        return True
    except httpcore2.ConnectError:
        return False
    raise AssertionError("nobody should listen there")


@pytest.mark.parametrize(
    ("url", "forbidden"),
    [
        ("https://8.8.8.8/mcp", True),
        ("https://[2001:4860:4860::8888]/mcp", True),
        ("https://nowhere.invalid/mcp", True),
        ("http://127.0.0.1:8000/mcp", False),
        ("http://[::1]:8000/mcp", False),
        ("http://localhost:8000/mcp", False),
    ],
)
async def test_a_server_on_the_internet_sends_the_command_to_nothing_inside(
    url: str, forbidden: bool
) -> None:
    """Its metadata may name what only this machine reaches (server-side request forgery)."""
    assert await _forbidden(url, "127.0.0.1") == forbidden
