"""How much one source may do: what counts as one, which are allowed more, and what becomes of the rest."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.back_channel import assert_error
from tests.front_channel import assert_page
from tests.support.world import REDIRECT_URI, World

REGISTRATION = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}


async def statuses_of(world: World, *sources: str) -> list[int]:
    """What a registration from each of these addresses is answered."""
    statuses = []
    for source in sources:
        async with world.machine(source) as machine:
            statuses.append((await machine.post("/oauth/register", json=REGISTRATION)).status_code)
    return statuses


# ------------------------------------------------------------------------------------------ what is one source
@pytest.mark.parametrize(
    "sources",
    [
        pytest.param(
            ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::1"], id="REG-19-one-slash-64"
        ),
        pytest.param(
            ["::ffff:198.51.100.1", "198.51.100.1", "::ffff:c633:6401"], id="REG-19-ipv4-inside-ipv6"
        ),
        pytest.param(["unknown", "unknown", "unknown"], id="REG-19-no-address"),
    ],
)
async def test_addresses_that_one_party_has_many_of_count_as_one(
    make_world: Callable[..., Any], sources: list[str]
) -> None:
    world = await make_world(registrations_per_minute=2)
    assert await statuses_of(world, *sources) == [201, 201, 429]


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param(["2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:2:2::1"], id="REG-19-other-slash-64"),
        pytest.param(["198.51.100.1", "198.51.100.2", "198.51.101.1"], id="REG-19-other-ipv4"),
    ],
)
async def test_neighbours_count_for_themselves(make_world: Callable[..., Any], sources: list[str]) -> None:
    world = await make_world(registrations_per_minute=1)
    assert await statuses_of(world, *sources) == [201, 201, 201]


# ------------------------------------------------------------------------------------------ who is allowed more
@pytest.mark.parametrize(
    ("setting", "source", "allowed"),
    [
        pytest.param({}, "160.79.104.9", 20, id="REG-19-claude"),
        pytest.param({}, "::ffff:160.79.111.255", 20, id="REG-19-claude-inside-ipv6"),
        pytest.param({}, "160.79.112.0", 2, id="REG-19-beside-claude"),
        pytest.param(
            {"shared_egress": "10.0.0.0/8 2001:db8::/32"}, "2001:db8::5", 20, id="REG-19-of-the-operator"
        ),
        pytest.param({"shared_egress": "10.0.0.0/8, 2001:db8::7"}, "2001:db8::7", 20, id="REG-19-single"),
        pytest.param({"shared_egress": "10.0.0.0/8"}, "160.79.104.9", 2, id="REG-19-replaced"),
    ],
)
async def test_addresses_that_many_people_share_are_allowed_ten_times_as_much(
    make_world: Callable[..., Any], setting: dict[str, str], source: str, allowed: int
) -> None:
    world = await make_world(registrations_per_minute=2, **setting)
    statuses = Counter(await statuses_of(world, *[source] * (allowed + 2)))
    assert statuses == {201: allowed, 429: 2}


async def test_failures_behind_a_shared_address_do_not_stop_its_other_people(world: World) -> None:
    """One client id for all of them, as with a metadata document."""
    client = await world.register()
    form = world.redemption(client, "guessed")
    async with world.machine("160.79.104.9") as shared:
        answers = [await shared.post("/oauth/token", data=form) for _ in range(100)]
        assert {answer.status_code for answer in answers} == {400}
        good = await shared.post("/oauth/token", data=world.redemption(client, await world.code(client)))
    assert good.status_code == 200


# ------------------------------------------------------------------------------------------ strangers who only ask
async def test_strangers_fill_the_record_only_so_far(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    before = (await world.rows("SELECT count(*) AS n FROM audit_events"))[0]["n"]
    async with world.browser() as stranger:
        answers = [await stranger.get(f"/consent/{number}") for number in range(310)]
        assert Counter(answer.status_code for answer in answers) == {400: 300, 429: 10}
        assert_page(answers[-1], status=429)
        assert int(answers[-1].headers["retry-after"]) > 0
        parked = await world.authorize(stranger, client)
        assert_page(parked, status=429)
    assert (await world.rows("SELECT count(*) AS n FROM audit_events"))[0]["n"] == before + 300
    assert not await world.rows("SELECT 1 FROM authorization_requests")

    # Neighbours elsewhere don't notice, nor does who is signed in behind the same address.
    async with world.browser("198.51.100.9") as elsewhere:
        assert (await world.authorize(elsewhere, client)).status_code == 303
    parked = await world.authorize(browser, client)
    assert (await world.decide(browser, parked.headers["location"])).status_code == 303


async def test_people_who_are_signed_in_fill_it_only_so_far_too(world: World) -> None:
    browser = await world.signed_in_browser()
    statuses = Counter([(await browser.get(f"/consent/{number}")).status_code for number in range(410)])
    assert statuses == {400: 400, 429: 10}


async def test_refusals_are_counted_for_ever_but_recorded_only_so_often(world: World) -> None:
    async with world.machine("198.51.100.9") as stranger:
        for _ in range(305):
            answer = await stranger.post("/oauth/token", data={"grant_type": "magic"})
            assert_error(answer, 400, "unsupported_grant_type")
    recorded = "SELECT count(*) AS n FROM audit_events WHERE outcome = 'unsupported_grant_type'"
    assert (await world.rows(recorded))[0]["n"] == 300
    metrics = (await world.http.get("/metrics")).text
    line = next(
        line for line in metrics.splitlines() if '/oauth/token",error="unsupported_grant_type"' in line
    )
    assert float(line.rpartition(" ")[2]) >= 305
    # Others are recorded.
    await world.http.post("/oauth/token", data={"grant_type": "magic"})
    assert (await world.rows(recorded))[0]["n"] == 301


async def test_in_one_browser_only_so_many_requests_wait(world: World) -> None:
    client = await world.register()
    browser, other = await world.signed_in_browser(), await world.signed_in_browser()
    kept = (await world.authorize(other, client)).headers["location"]
    waiting = []
    for _ in range(25):
        world.clock.advance(seconds=1)
        waiting.append((await world.authorize(browser, client)).headers["location"])

    async def is_there(visitor: httpx2.AsyncClient, address: str) -> bool:
        return (await visitor.get(address)).status_code == 200

    assert [await is_there(browser, address) for address in waiting] == [False] * 5 + [True] * 20
    assert await is_there(other, kept)
    assert (await world.decide(browser, waiting[-1])).status_code == 303
    # What was answered is over, but the place is free.
    newest = (await world.authorize(browser, client)).headers["location"]
    assert await is_there(browser, newest)
    assert await is_there(browser, waiting[5])
