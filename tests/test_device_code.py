"""The device code grant (RFC 8628 §3.4, §3.5): what a device that polls is told, and that it gets its tokens once."""

import asyncio
from typing import Any

import pytest

from app.audit import Origin
from app.authorization_server import device_authorization, device_store
from app.authorization_server.authentication import SignIn
from app.authorization_server.authorization import UnknownClient
from app.authorization_server.decisions import AlreadyAnswered
from app.authorization_server.records import Answer, DeviceAuthorization, ResourceOwner
from app.oauth import jwt
from tests import back_channel, device_flow
from tests.back_channel import assert_error, refused
from tests.device_flow import Device
from tests.front_channel import change
from tests.support.world import World


@pytest.fixture
async def device(world: World) -> Device:
    """A device that waits."""
    return await device_flow.begin(world, await device_flow.register(world))


async def waiting(world: World) -> DeviceAuthorization:
    """The only device there is, as it is stored."""
    [row] = await world.rows("SELECT user_code_hash FROM device_authorizations")
    async with world.database.reading() as tx:
        found = await device_store.find_by_user_code(tx, [row["user_code_hash"]])
    assert found is not None
    return found


async def asked_about(world: World, device: Device) -> device_authorization.Found:
    """What the page asks about."""
    code = device_authorization.read_user_code(device.user_code) or ""
    async with world.database.reading() as tx:
        found = await device_authorization.find(tx, world.services.keys, code)
    assert found is not None
    return found


async def polled(world: World, device: Device) -> str:
    """The error that the device is told."""
    answer = await device_flow.poll(world, device)
    assert_error(answer, 400, answer.json()["error"])
    error: str = answer.json()["error"]
    return error


# ------------------------------------------------------------------------------------------- waiting
async def test_opt_9_a_device_that_waits_is_told_so_and_gets_its_tokens_when_a_person_says_yes(
    world: World, device: Device
) -> None:
    assert await polled(world, device) == "authorization_pending"
    world.clock.advance(seconds=5)
    assert await polled(world, device) == "authorization_pending"

    await device_flow.answer(world, device)
    answer = await device_flow.poll(world, device)

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert set(body["scope"].split()) == {"mcp", "profile", "email", "offline_access"}
    assert (await world.call(body["access_token"])).status_code == 200
    refreshed = await world.refresh(device.client, body["refresh_token"])
    assert refreshed.status_code == 200
    assert device.device_code not in answer.text


async def test_opt_9_whoever_polls_too_soon_is_slowed_down_by_five_seconds_each_time_for_good(
    world: World, device: Device
) -> None:
    assert await polled(world, device) == "authorization_pending"
    world.clock.advance(seconds=3)
    assert await polled(world, device) == "slow_down"  # every 10 seconds from now on
    world.clock.advance(seconds=5)
    assert await polled(world, device) == "slow_down"  # every 15
    world.clock.advance(seconds=15)
    assert await polled(world, device) == "authorization_pending"
    world.clock.advance(seconds=10)
    assert await polled(world, device) == "slow_down"  # every 20
    world.clock.advance(seconds=20)
    assert await polled(world, device) == "authorization_pending"
    assert (await waiting(world)).interval == 20


async def test_opt_9_two_polls_may_arrive_a_little_closer_than_they_left(
    world: World, device: Device
) -> None:
    for _ in range(5):
        assert await polled(world, device) == "authorization_pending"
        world.clock.advance(seconds=4.1)


async def test_opt_9_a_device_that_was_slowed_down_gets_its_tokens_however_soon_it_asks(
    world: World, device: Device
) -> None:
    await polled(world, device)
    assert await polled(world, device) == "slow_down"
    await device_flow.answer(world, device)

    assert (await device_flow.poll(world, device)).status_code == 200


async def test_opt_9_a_device_that_a_person_turned_away_is_told_so(world: World, device: Device) -> None:
    await polled(world, device)
    await device_flow.answer(world, device, "deny")

    for _ in range(2):
        await refused(world, device_flow.poll(world, device), 400, "access_denied")
    world.clock.advance(minutes=11)
    assert await polled(world, device) == "access_denied"
    assert await world.rows("SELECT * FROM grants") == []


async def test_opt_9_a_code_that_nobody_answered_runs_out(world: World, device: Device) -> None:
    world.clock.advance(seconds=599)
    assert await polled(world, device) == "authorization_pending"
    world.clock.advance(seconds=1)

    await refused(world, device_flow.poll(world, device), 400, "expired_token")


async def test_opt_9_a_code_that_was_approved_and_not_fetched_runs_out(world: World, device: Device) -> None:
    await device_flow.answer(world, device)
    world.clock.advance(minutes=10)

    await refused(world, device_flow.poll(world, device), 400, "expired_token")

    assert await world.rows("SELECT * FROM refresh_tokens") == []


async def test_an_answer_in_the_last_second_still_reaches_the_device(world: World, device: Device) -> None:
    world.clock.advance(seconds=599)
    await device_flow.answer(world, device)
    world.clock.advance(seconds=30)

    assert (await device_flow.poll(world, device)).status_code == 200


async def test_polls_are_counted_and_are_no_events(world: World, device: Device) -> None:
    events = "SELECT count(*) AS n FROM audit_events"
    before, counted = (await world.rows(events))[0]["n"], await back_channel.records_of(world)
    for _ in range(3):
        await device_flow.poll(world, device)

    assert (await world.rows(events))[0]["n"] == before
    assert await back_channel.records_of(world) == counted + 3


# ---------------------------------------------------------------------------------------- wrong codes
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"device_code": None}, "invalid_request", id="OPT-9 no code"),
        pytest.param({"device_code": ""}, "invalid_request", id="OPT-9 empty code"),
        pytest.param({"device_code": "x"}, "invalid_grant", id="OPT-9 unknown code"),
        pytest.param({"device_code": "é" * 500}, "invalid_grant", id="OPT-9 no code at all"),
        pytest.param({"resource": "https://evil.example/mcp"}, "invalid_target", id="another resource"),
        pytest.param({"resource": "/mcp"}, "invalid_target", id="no resource"),
    ],
)
async def test_a_poll_that_breaks_a_rule_is_refused_and_costs_nothing(
    world: World, device: Device, changes: dict[str, str | None], error: str
) -> None:
    await device_flow.answer(world, device)

    await refused(world, device_flow.poll(world, device, **changes), 400, error)

    assert (await device_flow.poll(world, device)).status_code == 200


async def test_opt_9_the_user_code_is_not_a_device_code(world: World, device: Device) -> None:
    await device_flow.answer(world, device)

    for code in (device.user_code, device.user_code.replace("-", "")):
        await refused(world, device_flow.poll(world, device, device_code=code), 400, "invalid_grant")


async def test_opt_9_another_clients_code_is_refused_and_stays_good(world: World, device: Device) -> None:
    other = await device_flow.register(world)
    await device_flow.answer(world, device)

    poll = device_flow.poll(world, device, client_id=other["client_id"])
    await refused(world, poll, 400, "invalid_grant")

    assert (await device_flow.poll(world, device)).status_code == 200


async def test_the_device_code_may_not_be_repeated(world: World, device: Device) -> None:
    form = {"grant_type": device_flow.GRANT_TYPE, "client_id": device.client["client_id"]}

    request = world.http.post("/oauth/token", data={**form, "device_code": [device.device_code] * 2})

    await refused(world, request, 400, "invalid_request")


async def test_a_client_that_gave_the_grant_up_gets_nothing(world: World, device: Device) -> None:
    await device_flow.answer(world, device)
    await change(world, "UPDATE clients SET grant_types = :none", none='["refresh_token"]')

    await refused(world, device_flow.poll(world, device), 400, "unauthorized_client")


@pytest.mark.parametrize("resource", [None, "http://localhost:8000/mcp", "HTTP://LOCALHOST:8000/mcp/"])
async def test_the_resource_may_be_left_out_or_spelled_otherwise(
    world: World, device: Device, resource: str | None
) -> None:
    await device_flow.answer(world, device)

    assert (await device_flow.poll(world, device, resource=resource)).status_code == 200


# ----------------------------------------------------------------------------------------------- once
async def test_a_second_redemption_is_refused_and_kills_the_tokens_of_the_first(
    world: World, device: Device
) -> None:
    await device_flow.answer(world, device)
    issued = (await device_flow.poll(world, device)).json()

    await refused(world, device_flow.poll(world, device), 400, "invalid_grant", without_effect=False)

    assert (await world.call(issued["access_token"])).status_code == 401
    assert_error(await world.refresh(device.client, issued["refresh_token"]), 400, "invalid_grant")


async def test_of_twenty_polls_at_once_exactly_one_gets_tokens(world: World, device: Device) -> None:
    await device_flow.answer(world, device)

    answers = await asyncio.gather(*(device_flow.poll(world, device) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert {answer.json().get("error") for answer in answers} == {None, "invalid_grant"}
    assert len(await world.rows("SELECT * FROM refresh_tokens")) == 1


async def test_of_twenty_polls_at_once_while_it_waits_one_is_not_too_soon(
    world: World, device: Device
) -> None:
    answers = await asyncio.gather(*(device_flow.poll(world, device) for _ in range(20)))

    errors = sorted(answer.json()["error"] for answer in answers)
    assert errors == ["authorization_pending"] + ["slow_down"] * 19
    assert (await waiting(world)).interval == 5 + 19 * 5


async def test_polls_that_race_with_the_answer_get_tokens_once(world: World, device: Device) -> None:
    async def approve() -> None:
        await device_flow.answer(world, device)

    polls = [device_flow.poll(world, device) for _ in range(19)]
    answers = [answer for answer in await asyncio.gather(*polls[:9], approve(), *polls[9:]) if answer]

    assert {answer.status_code for answer in answers} <= {200, 400}
    issued = [answer for answer in answers if answer.status_code == 200]
    assert len(issued) <= 1
    if not issued:
        assert (await device_flow.poll(world, device)).status_code == 200


@pytest.mark.parametrize(
    "decisions",
    [pytest.param(["approve"] * 10, id="approvals"), pytest.param(["approve", "deny"] * 5, id="both")],
)
async def test_answers_that_race_have_one_outcome(world: World, device: Device, decisions: list[str]) -> None:
    outcomes = await asyncio.gather(
        *(device_flow.answer(world, device, decision) for decision in decisions), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes if outcome is not None] == [AlreadyAnswered] * (
        len(decisions) - 1
    )
    grants = await world.rows("SELECT * FROM grants")
    approved = decisions[outcomes.index(None)] == "approve"
    assert len(grants) == approved
    expected = 200 if approved else 400
    assert (await device_flow.poll(world, device)).status_code == expected


# ---------------------------------------------------------------------- between approval and redemption
@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        pytest.param("disable_user", 400, "invalid_grant", id="user disabled"),
        pytest.param("reset_password", 400, "invalid_grant", id="password reset"),
        pytest.param("revoke_grants", 400, "invalid_grant", id="grant revoked"),
        pytest.param("disable_client", 401, "invalid_client", id="client disabled"),
        pytest.param("delete_client", 401, "invalid_client", id="client deleted"),
    ],
)
async def test_a_code_dies_with_whom_it_was_approved_for(
    world: World, device: Device, event: str, status: int, error: str
) -> None:
    await device_flow.answer(world, device)
    more: list[Any] = [device.client] if event.endswith("client") else []
    await getattr(back_channel, event)(world, *more)

    await refused(world, device_flow.poll(world, device), status, error, without_effect=False)

    assert await world.rows("SELECT * FROM refresh_tokens") == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        pytest.param("UPDATE clients SET disabled_at = created_at", UnknownClient, id="client disabled"),
        pytest.param("DELETE FROM clients", UnknownClient, id="client deleted"),
        pytest.param("UPDATE clients SET document_withdrawn_at = created_at", UnknownClient, id="withdrawn"),
        pytest.param("UPDATE clients SET grant_types = '[]'", UnknownClient, id="grant given up"),
        pytest.param("UPDATE clients SET client_name = 'Another name'", UnknownClient, id="another name"),
        pytest.param(
            "UPDATE device_authorizations SET expires_at = created_at", AlreadyAnswered, id="too late"
        ),
    ],
)
async def test_what_changed_since_the_question_was_asked_counts_at_the_answer(
    world: World, device: Device, statement: str, problem: type[Exception]
) -> None:
    shown = await asked_about(world, device)
    await change(world, statement)
    now = world.clock.now()
    owner = ResourceOwner("user_x", "x", "x", None)

    with pytest.raises(problem):
        async with world.database.transaction(commit_on=(UnknownClient, AlreadyAnswered)) as tx:
            await device_authorization.approve(
                tx,
                world.services.policy,
                shown,
                owner,
                Answer(("mcp",)),
                SignIn(owner.id, now),
                Origin(now, "test"),
            )

    assert await world.rows("SELECT * FROM grants") == []


# ------------------------------------------------------------------------------------------- the grant
async def test_the_tokens_hang_on_a_grant_that_says_how_it_came_about(world: World, device: Device) -> None:
    await device_flow.answer(world, device)
    issued = (await device_flow.poll(world, device)).json()

    [grant] = await world.rows("SELECT * FROM grants")
    assert grant["grant_type"] == device_flow.GRANT_TYPE
    assert grant["redirect_uri"] is None
    assert grant["authenticated_at"] is not None
    assert grant["reference"] == (await waiting(world)).reference
    keys = {
        key["kid"]: jwt.import_verification_key(key) for key in world.services.signing_keys.jwks()["keys"]
    }
    assert jwt.verify(issued["access_token"], keys, "at+jwt")["grant_id"] == grant["id"]
    assert [row["last_used_at"] for row in await world.rows("SELECT last_used_at FROM clients")] != [None]
    events = [row["event"] for row in await world.rows("SELECT event FROM audit_events ORDER BY id")]
    assert events[-3:] == ["device.asked", "grant.approved", "token.issued"]


async def test_a_client_that_did_not_register_for_refresh_tokens_gets_none(world: World) -> None:
    client = await device_flow.register(world, grant_types=[device_flow.GRANT_TYPE])

    assert "refresh_token" not in await device_flow.tokens(world, client)


async def test_a_client_with_the_scope_openid_learns_who_signed_in(world: World) -> None:
    client = await device_flow.register(world)
    issued = await device_flow.tokens(world, client, scope="openid mcp")

    keys = {
        key["kid"]: jwt.import_verification_key(key) for key in world.services.signing_keys.jwks()["keys"]
    }
    claims = jwt.verify(issued["id_token"], keys, jwt.ID_TOKEN_TYPE)
    assert claims["aud"] == client["client_id"]
    assert claims["auth_time"] == int(world.clock.now().timestamp())
