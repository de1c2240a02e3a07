"""`ostiary doctor` finds what is broken, names it, and tells who gets how far (users.md, rows 4 to 24)."""

import pytest
from starlette.responses import JSONResponse

from app.doctor.examination import CHECKS
from app.doctor.finding import CLAUDE, CURSOR, EVERYONE, INSPECTOR, STEPS, VS_CODE
from tests.support.troubled_server import URL, TroubledServer, moved, page, said
from tests.troubles import (
    ALL,
    ASM,
    HTTP,
    NO_DOCUMENT,
    PRM,
    Break,
    assert_found,
    at,
    both,
    but,
    challenge,
    examined,
    stopped,
    when,
    without_cors,
)


async def test_a_server_that_is_well_passes_every_check(troubled: TroubledServer) -> None:
    examination = await examined(troubled)

    assert {each.check: each.status for each in examination.findings} == dict.fromkeys(
        (check.name for check in CHECKS), "ok"
    )
    assert stopped(examination) == set()
    assert not examination.broken


async def test_nothing_is_registered_unless_wished_for_and_nothing_stays(troubled: TroubledServer) -> None:
    await examined(troubled, register=False)
    assert "POST /register" not in troubled.seen

    await examined(troubled)
    assert troubled.seen.count("POST /register") == len(EVERYONE)
    assert troubled.clients == {}


def test_every_check_has_a_step_a_name_of_its_own_and_a_reason() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.step in STEPS and check.why.endswith(".") for check in CHECKS)


BROKEN = [
    pytest.param(
        at("POST /mcp", answer=moved(307, "/mcp/")),
        {
            "redirect": "fail",
        },
        ALL,
        "307",
        id="row 9: a mounted application redirects to the slash",
    ),
    pytest.param(
        at("POST /mcp", answer=moved(308, f"{URL}/")),
        {"redirect": "fail"},
        ALL,
        "slash",
        id="row 9: the same, with a whole address",
    ),
    pytest.param(
        at("POST /mcp", answer=moved(301, f"{HTTP}/")),
        {"redirect": "fail"},
        ALL,
        "X-Forwarded-Proto",
        id="row 4: the redirect leaves TLS",
    ),
    pytest.param(
        at("POST /mcp", answer=moved(302, "/login")),
        {"redirect": "fail"},
        ALL,
        "/login",
        id="a sign-in page in front of the endpoint",
    ),
    pytest.param(
        challenge(None),
        {"challenge": "fail"},
        set(),
        "no WWW-Authenticate",
        id="row 20: 401 without a challenge, but with metadata where it belongs",
    ),
    pytest.param(
        both(challenge(None), NO_DOCUMENT),
        {"challenge": "fail", "resource_metadata": "fail"},
        ALL,
        "no WWW-Authenticate",
        id="row 20: 401 without a challenge and without metadata",
    ),
    pytest.param(
        challenge('Basic realm="MCP, Bearer resource_metadata=x"'),
        {"challenge": "warn"},
        set(),
        "not Bearer",
        id="a challenge of another scheme",
    ),
    pytest.param(
        challenge('Bearer realm="mcp"'),
        {"challenge": "warn"},
        set(),
        "no resource_metadata",
        id="row 20: a challenge without resource_metadata",
    ),
    pytest.param(
        both(challenge("Bearer"), NO_DOCUMENT),
        {"challenge": "fail", "resource_metadata": "fail"},
        ALL,
        "no resource_metadata",
        id="row 20: the same, without metadata",
    ),
    pytest.param(
        at("POST /mcp", answer=page(403)),
        {"challenge": "fail"},
        ALL,
        "firewall",
        id="row 23: a firewall's page",
    ),
    pytest.param(at("POST /mcp", answer=said(404)), {"challenge": "fail"}, ALL, "/mcp", id="the wrong path"),
    pytest.param(at("POST /mcp", answer=said(500)), {"challenge": "fail"}, ALL, "log", id="the server fails"),
    pytest.param(
        at("POST /mcp", answer=said(400)),
        {"challenge": "fail"},
        ALL,
        "400",
        id="the body is looked at first",
    ),
    pytest.param(
        at("POST /mcp", answer=said(429)),
        {"challenge": "fail", "retry_after": "warn"},
        ALL,
        "Try again later",
        id="row 13: too many from this address",
    ),
    pytest.param(
        at("POST /mcp", answer=lambda _: JSONResponse({}, 503, {"Retry-After": "5"})),
        {"challenge": "fail", "retry_after": "warn"},
        ALL,
        "with Retry-After",
        id="row 6: the server is away",
    ),
    pytest.param(
        at("POST /mcp", answer=said(200)),
        {"challenge": "fail"},
        ALL,
        "lets anyone in",
        id="anyone is let in, although there is metadata",
    ),
    pytest.param(
        both(at("POST /mcp", answer=said(200)), NO_DOCUMENT),
        {"challenge": "warn"},
        set(),
        "lets anyone in",
        id="a server that needs no token",
    ),
    pytest.param(
        at("GET /mcp", answer=said(404)),
        {"challenge_on_get": "fail"},
        set(),
        "GET without a token is answered with status 404",
        id="row 20: GET is not guarded",
    ),
    pytest.param(at("GET /mcp", answer=said(405)), {}, set(), "", id="a server that has no GET"),
    pytest.param(
        at("POST /mcp", answer=when("authorization", "Bearer", said(401))),
        {"challenge_on_empty_bearer": "fail"},
        set(),
        "no WWW-Authenticate",
        id="row 20: no challenge for an empty Bearer",
    ),
    pytest.param(
        at(
            "POST /mcp",
            answer=lambda _: JSONResponse(
                {}, 401, {"WWW-Authenticate": f'Bearer resource_metadata="https://mcp.example{PRM}/mcp"'}
            ),
        ),
        {"challenge_on_wrong_token": "warn"},
        set(),
        "invalid_token",
        id="a wrong token is not called so",
    ),
    pytest.param(
        at("POST /mcp/", answer=moved(307, f"{HTTP}")),
        {"other_spelling": "warn"},
        set(),
        "leaves TLS",
        id="row 9: the other spelling redirects",
    ),
    pytest.param(
        at("POST /mcp", answer=when("user-agent", "Claude-User", page(403))),
        {"firewall": "fail"},
        {CLAUDE},
        "Claude: status 403",
        id="row 23: a firewall takes Claude for a bot",
    ),
    pytest.param(
        at("POST /mcp", answer=when("user-agent", "node", said(429))),
        {"firewall": "fail", "retry_after": "warn"},
        {CURSOR, VS_CODE},
        "Cursor: status 429",
        id="row 23: a firewall takes editors for bots",
    ),
    # ------------------------------------------------------------------------------ pages of other origins
    pytest.param(
        without_cors("/mcp"),
        {"browser_endpoint": "fail"},
        {INSPECTOR},
        "Access-Control-Allow-Origin",
        id="row 7: no CORS at the endpoint",
    ),
    pytest.param(
        at("OPTIONS /mcp", answer=said(401)),
        {"browser_endpoint": "fail"},
        {INSPECTOR},
        "OPTIONS",
        id="row 7: the preflight needs a token",
    ),
    pytest.param(
        but(access_control_allow_headers="*"),
        {"browser_endpoint": "fail"},
        {INSPECTOR},
        "may not send authorization",
        id="row 7: a wildcard does not stand for Authorization",
    ),
    pytest.param(
        but(access_control_expose_headers=None),
        {"browser_endpoint": "fail"},
        {INSPECTOR},
        "can’t read www-authenticate",
        id="row 7: the challenge is not exposed",
    ),
    pytest.param(
        without_cors(f"{PRM}/mcp"),
        {"browser_resource_metadata": "fail"},
        {INSPECTOR},
        "can’t read it",
        id="row 7: no CORS at the resource's metadata",
    ),
    pytest.param(
        without_cors(ASM),
        {"browser_server_metadata": "fail"},
        {INSPECTOR},
        "can’t read it",
        id="row 7: no CORS at the server's metadata",
    ),
    pytest.param(
        without_cors("/register"),
        {"browser_registration": "fail"},
        {INSPECTOR},
        "preflight",
        id="row 7: no CORS at registration",
    ),
    pytest.param(
        without_cors("/token"),
        {"browser_token": "fail"},
        {INSPECTOR},
        "can’t read it",
        id="row 7: no CORS at the token endpoint",
    ),
]


@pytest.mark.parametrize(("break_it", "expected", "stops", "words"), BROKEN)
async def test_what_is_broken_is_found_and_named(
    troubled: TroubledServer, break_it: Break, expected: dict[str, str], stops: set[str], words: str
) -> None:
    await assert_found(troubled, break_it, expected, stops, words)
