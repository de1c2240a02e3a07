"""The guarded fetcher: which addresses it never connects to, and which answers it takes."""

from datetime import timedelta

import pytest

from app.authorization_server.document_fetcher import (
    JWK_SET,
    METADATA_DOCUMENT,
    DocumentFetcher,
    DocumentUnreadable,
    Kind,
    SystemResolver,
)
from app.authorization_server.public_addresses import is_public
from tests.support.internet import (
    HOST,
    PUBLIC,
    URL,
    Answer,
    Internet,
    answer,
    document,
    drip,
    endless_headers,
    endless_interim_answers,
)

FORBIDDEN = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.1", "0.1.2.3", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::10.0.0.1", "64:ff9b::a00:1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "2002:5db8:d822::1", "2001:0:a00:1::1", "100::1",
    "3fff::1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1",
]  # fmt: skip


def fetcher(internet: Internet, seconds: float = 5.0, *, loopback: bool = False) -> DocumentFetcher:
    return DocumentFetcher(internet.egress(seconds), loopback=loopback)


async def refusal(fetching: DocumentFetcher, url: str = URL, kind: Kind = METADATA_DOCUMENT) -> str:
    with pytest.raises(DocumentUnreadable) as raised:
        await fetching.fetch(url, kind)
    return raised.value.reason


async def test_a_document_is_read_under_the_name_of_its_host(internet: Internet) -> None:
    fetched = await fetcher(internet).fetch(URL, METADATA_DOCUMENT)

    assert fetched.document == document()
    assert internet.connections == [PUBLIC]
    assert internet.requests[0].startswith(b"GET /client.json HTTP/1.1\r\nHost: app.example\r\n")


@pytest.mark.parametrize("kind", [METADATA_DOCUMENT, JWK_SET], ids=["document", "keys"])
@pytest.mark.parametrize("address", FORBIDDEN)
async def test_cim_5_a_special_address_is_never_connected(
    internet: Internet, address: str, kind: Kind
) -> None:
    internet.names[HOST] = [[address]]

    assert await refusal(fetcher(internet), URL, kind) == f"{kind.slug}_address_forbidden"
    assert internet.connections == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]"])
async def test_cim_5_a_special_address_in_the_url_is_never_connected(internet: Internet, host: str) -> None:
    internet.names[host.strip("[]")] = [[host.strip("[]")]]

    assert await refusal(fetcher(internet), f"https://{host}/c.json") == "document_address_forbidden"
    assert internet.connections == []


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("addresses", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"]])
async def test_cim_6_one_bad_address_spoils_the_name(internet: Internet, addresses: list[str]) -> None:
    internet.names[HOST] = [addresses]

    assert await refusal(fetcher(internet)) == "document_address_forbidden"
    assert internet.connections == []


async def test_a_name_that_resolves_to_something_else_later_gains_nothing(internet: Internet) -> None:
    internet.names[HOST] = [[PUBLIC], ["127.0.0.1"]]

    await fetcher(internet).fetch(URL, METADATA_DOCUMENT)
    assert (internet.lookups, internet.connections) == ([HOST], [PUBLIC])

    assert await refusal(fetcher(internet)) == "document_address_forbidden"
    assert internet.connections == [PUBLIC]


@pytest.mark.parametrize("path", ["/c.json;v=1", "/c.json?", "/c.json?a=b&c", "/c;x/d;y?z;w", "/%63.json"])
async def test_exactly_the_url_is_asked_for(internet: Internet, path: str) -> None:
    """Two spellings are two documents: what one says is never taken for the other."""
    internet.pages = {path: answer(document(f"https://{HOST}{path}"))}

    fetched = await fetcher(internet).fetch(f"https://{HOST}{path}", METADATA_DOCUMENT)

    assert fetched.document == document(f"https://{HOST}{path}")
    assert internet.requests[0].startswith(f"GET {path} HTTP/1.1\r\n".encode())


async def test_an_address_of_ipv6_is_written_in_brackets(internet: Internet) -> None:
    internet.names["::1"] = [["::1"]]

    await fetcher(internet, loopback=True).fetch("https://[::1]:8443/client.json", METADATA_DOCUMENT)

    assert internet.connections == ["::1"]
    assert b"\r\nHost: [::1]:8443\r\n" in internet.requests[0]


async def test_a_name_with_many_addresses_makes_no_flood(internet: Internet) -> None:
    addresses = [f"2606:4700::{number:x}" for number in range(1, 60)] + [f"8.8.4.{n}" for n in range(1, 60)]
    internet.names[HOST] = [addresses]
    internet.dead = set(addresses)

    assert await refusal(fetcher(internet)) == "document_unreachable"
    assert internet.connections == ["2606:4700::1", "8.8.4.1", "2606:4700::2", "8.8.4.2"]


async def test_hosts_that_the_operator_chose_may_be_inside(internet: Internet) -> None:
    internet.names[HOST] = [["10.0.0.1"]]
    inside = DocumentFetcher(internet.egress(), loopback=False, trusted=[URL])

    assert (await inside.fetch(URL, JWK_SET)).document == document()
    assert await refusal(inside, f"https://{HOST}/other") == "document_address_forbidden"
    assert internet.connections == ["10.0.0.1"]


async def test_loopback_is_reached_only_from_loopback_and_only_by_its_name(internet: Internet) -> None:
    internet.names["localhost"] = [["127.0.0.1"]]
    internet.names[HOST] = [["127.0.0.1"]]

    assert await refusal(fetcher(internet), "https://localhost/client.json") == "document_address_forbidden"
    assert await refusal(fetcher(internet, loopback=True)) == "document_address_forbidden"
    assert internet.connections == []
    await fetcher(internet, loopback=True).fetch("https://localhost/client.json", METADATA_DOCUMENT)
    assert internet.connections == ["127.0.0.1"]


async def test_a_name_that_leads_nowhere_is_told_apart(internet: Internet) -> None:
    internet.names[HOST] = [[]]

    assert await refusal(fetcher(internet)) == "document_host_unknown"


async def test_a_certificate_for_another_name_is_refused(internet: Internet) -> None:
    assert await refusal(fetcher(internet), "https://other.example/client.json") == "document_unreachable"
    assert internet.requests == []


async def test_no_proxy_is_taken_from_the_environment(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")

    await fetcher(internet).fetch(URL, METADATA_DOCUMENT)

    assert (internet.lookups, internet.connections) == ([HOST], [PUBLIC])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", [URL, "https://evil.example/c.json", "http://127.0.0.1/"])
async def test_cim_8_redirects_are_not_followed(internet: Internet, status: int, location: str) -> None:
    internet.pages["/client.json"] = answer(document(), status=status, location=location)

    assert await refusal(fetcher(internet)) == "document_redirect"
    assert (internet.lookups, len(internet.requests)) == ([HOST], 1)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (201, "document_status"), (204, "document_status"), (206, "document_status"), (403, "document_status"),
        (404, "document_gone"), (410, "document_gone"), (500, "document_status"), (503, "document_status"),
    ],
)  # fmt: skip
async def test_cim_9_only_200_is_success(internet: Internet, status: int, reason: str) -> None:
    internet.pages["/client.json"] = answer(document(), status=status, length=status != 204)

    assert await refusal(fetcher(internet)) == reason


@pytest.mark.parametrize("media_type", ["text/html", "text/json", "application/jsonp", "image/svg+json", ""])
async def test_cim_10_what_is_not_json_by_its_media_type_is_refused(
    internet: Internet, media_type: str
) -> None:
    internet.pages["/client.json"] = answer(document(), content_type=media_type)

    assert await refusal(fetcher(internet)) == "document_media_type"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/oauth-client+json"])
async def test_json_by_its_media_type_is_read(internet: Internet, media_type: str) -> None:
    internet.pages["/client.json"] = answer(document(), content_type=media_type)

    assert (await fetcher(internet).fetch(URL, METADATA_DOCUMENT)).document == document()


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(answer(b'"' + b"x" * 5200 + b'"'), "document_too_large", id="announced"),
        pytest.param(answer(b'"' + b"x" * 5200 + b'"', length=False), "document_too_large", id="unannounced"),
        pytest.param(answer(b"{}", content_encoding="gzip"), "document_encoding", id="compressed"),
        pytest.param(answer(b"{"), "document_not_json", id="cut off"),
        pytest.param(answer(b"[" * 5000), "document_not_json", id="deep"),
        pytest.param(answer(b'{"a": NaN}'), "document_not_json", id="NaN"),
        pytest.param(answer(b'"\\ud800"'), "document_not_json", id="surrogate"),
        pytest.param(answer(b"\xff\xfe\x00"), "document_not_json", id="bytes"),
        pytest.param(lambda: b"SSH-2.0-hello\r\n\r\n", "document_unreachable", id="not HTTP"),
        pytest.param(lambda: b"", "document_unreachable", id="nothing"),
    ],
)
async def test_cim_11_a_body_that_is_too_large_or_broken_is_refused(
    internet: Internet, page: Answer, reason: str
) -> None:
    internet.pages["/client.json"] = page

    assert await refusal(fetcher(internet)) == reason


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx-slow: ", id="half a header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
            id="half a body",
        ),
    ],
)
async def test_cim_11_a_slow_host_is_given_up_in_time(internet: Internet, start: bytes) -> None:
    internet.pages["/client.json"] = drip(start)

    assert await refusal(fetcher(internet, seconds=0.3)) == "document_timeout"


@pytest.mark.parametrize("page", [endless_headers, endless_interim_answers])
async def test_cim_11_headers_without_end_are_cut_off(internet: Internet, page: Answer) -> None:
    internet.pages["/client.json"] = page

    assert await refusal(fetcher(internet)) == "document_unreachable"


@pytest.mark.parametrize(
    ("cache_control", "fresh_for"),
    [
        ("", timedelta(hours=1)), ("public, max-age=7200", timedelta(hours=2)),
        ("max-age=0", timedelta(minutes=1)), ("no-store", timedelta(minutes=1)),
        ("max-age=600, no-cache", timedelta(minutes=1)), ("max-age=99999999999999", timedelta(days=1)),
        ('Max-Age="600"', timedelta(minutes=10)), ("max-age=soon", timedelta(hours=1)),
        ("max-age=-5", timedelta(hours=1)), ("max-age=7200\r\nage: 600", timedelta(minutes=110)),
        ("max-age=600\r\nage: 9000", timedelta(minutes=1)), ("max-age=600\r\nage: x", timedelta(minutes=10)),
        ("no-store\r\ncache-control: max-age=7200", timedelta(minutes=1)),
    ],
)  # fmt: skip
async def test_caching_stays_inside_its_bounds(
    internet: Internet, cache_control: str, fresh_for: timedelta
) -> None:
    internet.pages["/client.json"] = answer(document(), cache_control=cache_control)

    assert (await fetcher(internet).fetch(URL, METADATA_DOCUMENT)).fresh_for == fresh_for


async def test_keys_may_be_larger_than_documents_and_are_remembered_for_less_long(internet: Internet) -> None:
    large = answer(
        {"keys": ["x" * 20_000]}, content_type="application/jwk-set+json", cache_control="max-age=86400"
    )
    internet.pages["/client.json"] = large

    assert (await fetcher(internet).fetch(URL, JWK_SET)).fresh_for == timedelta(hours=1)
    assert await refusal(fetcher(internet)) == "document_too_large"
    internet.pages["/client.json"] = answer({"keys": ["x" * 40_000]})
    assert await refusal(fetcher(internet), URL, JWK_SET) == "keys_too_large"


async def test_the_system_resolver_finds_this_computer() -> None:
    assert "127.0.0.1" in await SystemResolver().resolve("127.0.0.1", 443)
