"""Key sets that others publish: when they are read, when again, and for how long the last reading serves."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from app.authorization_server.document_fetcher import DocumentFetcher
from app.authorization_server.flights import TooManyFetches
from app.authorization_server.key_sets import KeySets, KeysUnavailable
from app.authorization_server.public_addresses import network_of
from app.oauth.assertions import read_assertion
from app.oauth.jwt import Unverified
from tests.support.dpop import Prover
from tests.support.internet import HOST, PUBLIC, Internet, answer, drip

URL = f"https://{HOST}/jwks.json"
SOURCE = "203.0.113.7"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD, NEW = Prover("ES256"), Prover("RS256")


def assertion(kid: str, signer: Prover = OLD) -> Unverified:
    return read_assertion(signer.sign({"alg": signer.algorithm, "kid": kid}, {}), {""})


def publish(internet: Internet, url: str = URL, *, cache: str = "max-age=600", **signers: Prover) -> None:
    keys = [{**signer.jwk, "kid": kid} for kid, signer in signers.items()]
    internet.pages[url.partition(HOST)[2]] = answer({"keys": keys}, cache_control=cache)


@pytest.fixture
def key_sets(internet: Internet) -> KeySets:
    publish(internet, old=OLD)
    return KeySets(DocumentFetcher(internet.egress(), loopback=False))


async def kids(key_sets: KeySets, kid: str, now: datetime = NOW, **more: Any) -> list[str | None]:
    found = await key_sets.find(URL, assertion(kid), now, more.get("source", SOURCE))
    return [key.kid for key in found.keys]


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not reached():
            await anyio.lowlevel.checkpoint()


async def problem(key_sets: KeySets, now: datetime = NOW, url: str = URL) -> str:
    with pytest.raises(KeysUnavailable) as raised:
        await key_sets.find(url, assertion("old"), now, SOURCE)
    return raised.value.reason


async def test_a_set_is_read_once_while_it_is_fresh(key_sets: KeySets, internet: Internet) -> None:
    assert key_sets.known(URL, NOW) is None
    assert await kids(key_sets, "old") == ["old"]
    assert await kids(key_sets, "old", NOW + timedelta(minutes=9)) == ["old"]
    assert len(internet.connections) == 1

    assert await kids(key_sets, "old", NOW + timedelta(minutes=10)) == ["old"]
    assert internet.connections == [PUBLIC, PUBLIC]
    assert key_sets.known(URL, NOW) is not None


async def test_an_unknown_key_makes_it_read_again_but_not_more_than_every_ten_seconds(
    key_sets: KeySets, internet: Internet
) -> None:
    await kids(key_sets, "old")
    publish(internet, old=OLD, new=NEW)

    for number in range(20):
        assert await kids(key_sets, f"unknown {number}", NOW + timedelta(seconds=9)) == ["old"]
    assert len(internet.connections) == 1
    for number in range(20):
        assert await kids(key_sets, f"unknown {number}", NOW + timedelta(seconds=10)) == ["old", "new"]
    assert len(internet.connections) == 2


async def test_fifty_at_once_are_one_fetch(key_sets: KeySets, internet: Internet) -> None:
    found = await asyncio.gather(*(kids(key_sets, "old", source=f"203.0.113.{n}") for n in range(50)))

    assert found == [["old"]] * 50
    assert len(internet.connections) == 1


async def test_a_set_that_is_forgotten_while_it_is_read_is_not_there(
    key_sets: KeySets, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.authorization_server.key_sets._MOST", 1)
    publish(internet, f"{URL}2", old=OLD)
    internet.gate = asyncio.Event()
    waiting = asyncio.create_task(problem(key_sets))
    await until(lambda: len(internet.requests) == 1)
    another = asyncio.create_task(key_sets.find(f"{URL}2", assertion("old"), NOW, SOURCE))
    await until(lambda: len(internet.requests) == 2)

    internet.gate.set()

    assert await waiting == "keys_forgotten"
    assert (await another).keys


async def test_who_knows_the_key_does_not_wait_for_a_reading_that_another_one_needs(
    key_sets: KeySets, internet: Internet
) -> None:
    await kids(key_sets, "old")
    internet.gate = asyncio.Event()
    later = NOW + timedelta(minutes=1)
    waiting = asyncio.create_task(kids(key_sets, "new", later))
    await until(lambda: len(internet.requests) == 2)

    assert await kids(key_sets, "old", later) == ["old"]

    publish(internet, new=NEW)
    internet.gate.set()
    assert await waiting == ["new"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(answer(status=500), "keys_status", id="500"),
        pytest.param(answer(b"<html>", content_type="text/html"), "keys_media_type", id="HTML"),
        pytest.param(answer(b"{"), "keys_not_json", id="no JSON"),
        pytest.param(answer({}, status=302, location=URL), "keys_redirect", id="redirect"),
        pytest.param(answer(b"x" * 40_000), "keys_too_large", id="too large"),
        pytest.param(answer(status=404), "keys_gone", id="404"),
        pytest.param(answer({"keys": []}), "keys_invalid", id="empty"),
        pytest.param(answer({"error": "no"}), "keys_invalid", id="another document"),
    ],
)
async def test_a_failure_is_told_and_tried_again_after_a_pause(
    key_sets: KeySets, internet: Internet, page: Any, reason: str
) -> None:
    internet.pages["/jwks.json"] = page

    assert await problem(key_sets) == reason
    assert await problem(key_sets, NOW + timedelta(seconds=9)) == reason
    assert len(internet.connections) == 1
    publish(internet, old=OLD)
    assert await kids(key_sets, "old", NOW + timedelta(seconds=10)) == ["old"]


@pytest.mark.parametrize(
    "page", [answer(status=503), answer(b"<html>", content_type="text/html")], ids=["503", "HTML"]
)
async def test_while_the_host_is_away_the_last_reading_serves_for_a_day(
    key_sets: KeySets, internet: Internet, page: Any
) -> None:
    await kids(key_sets, "old")
    internet.pages["/jwks.json"] = page

    assert await kids(key_sets, "old", NOW + timedelta(hours=23)) == ["old"]
    assert len(internet.connections) == 2
    assert await problem(key_sets, NOW + timedelta(hours=24)) in {"keys_status", "keys_media_type"}


@pytest.mark.parametrize(
    "page", [answer(status=404), answer(status=410), answer({"keys": []})], ids=["404", "410", "empty"]
)
async def test_keys_that_are_taken_back_serve_no_longer(
    key_sets: KeySets, internet: Internet, page: Any
) -> None:
    await kids(key_sets, "old")
    internet.pages["/jwks.json"] = page

    assert await problem(key_sets, NOW + timedelta(minutes=11)) in {"keys_gone", "keys_invalid"}
    assert key_sets.known(URL, NOW) is None


async def test_a_host_inside_is_never_connected(key_sets: KeySets, internet: Internet) -> None:
    internet.names[HOST] = [["10.0.0.1"]]

    assert await problem(key_sets) == "keys_address_forbidden"
    assert internet.connections == []


async def test_one_source_cannot_take_every_place_and_the_operators_choice_needs_none(
    internet: Internet,
) -> None:
    key_sets = KeySets(DocumentFetcher(internet.egress(), loopback=False))
    internet.gate = asyncio.Event()
    sources = [f"2001:db8:0:{number // 4}::{number}" for number in range(32)]
    urls = [f"https://h{number}.example/jwks.json" for number in range(40)]
    waiting = [
        asyncio.create_task(key_sets.find(url, assertion("old"), NOW, source))
        for url, source in zip(urls, sources, strict=False)
    ]
    await asyncio.sleep(0)

    with pytest.raises(TooManyFetches):
        await key_sets.find(urls[35], assertion("old"), NOW, "2001:db8:0:99::1")
    trusted = asyncio.create_task(key_sets.find(URL, assertion("old"), NOW, None))
    publish(internet, old=OLD)
    internet.gate.set()
    assert (await trusted).keys
    assert len(await asyncio.gather(*waiting)) == 32

    internet.gate = asyncio.Event()
    later = NOW + timedelta(minutes=20)
    waiting = [asyncio.create_task(key_sets.find(url, assertion("old"), later, SOURCE)) for url in urls[:4]]
    await asyncio.sleep(0)
    assert (await key_sets.find(URL, assertion("old"), later, SOURCE)).keys, "the last reading serves"
    with pytest.raises(TooManyFetches):
        await key_sets.find(urls[36], assertion("old"), later, SOURCE)
    await key_sets.close()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)


async def test_the_memory_is_bounded(key_sets: KeySets, internet: Internet) -> None:
    internet.names[HOST] = [["10.0.0.1"]]
    await problem(key_sets)
    for number in range(500):
        await problem(key_sets, NOW, f"https://{HOST}/{number}")
    lookups = len(internet.lookups)

    await problem(key_sets, NOW, f"https://{HOST}/499")
    assert len(internet.lookups) == lookups
    await problem(key_sets)
    assert len(internet.lookups) == lookups + 1


async def test_a_slow_host_is_given_up(internet: Internet) -> None:
    internet.pages["/jwks.json"] = drip(b"HTTP/1.1 200 OK\r\n")
    key_sets = KeySets(DocumentFetcher(internet.egress(0.2), loopback=False))

    assert await problem(key_sets) == "keys_timeout"


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("cli", "cli"),
        ("::ffff:203.0.113.7", "203.0.113.7"), ("fe80::1%eth0", "fe80::/64"),
    ],
)  # fmt: skip
def test_a_source_of_ipv6_is_a_whole_network(source: str, network: str) -> None:
    assert network_of(source) == network
