"""URIs: one spelling for what is compared, exact comparison for redirects, loopback ports excepted."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.uris import (
    FORBIDDEN_SCHEMES,
    PRIVATE_USE_SCHEMES,
    InvalidURI,
    canonical_url,
    check_private_use_scheme,
    check_redirect_uri,
    is_loopback,
    redirect_target,
    redirect_uri_matches,
    without_loopback_port,
)

LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
PATHS = st.text(string.ascii_letters + string.digits + "/-._~%", max_size=30).map(lambda path: "/" + path)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://mcp.example", "https://mcp.example"),
        ("https://mcp.example/", "https://mcp.example"),
        ("HTTPS://MCP.Example/Path", "https://mcp.example/Path"),
        ("https://mcp.example:443/mcp/", "https://mcp.example/mcp"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
        ("https://mcp.example/a//", "https://mcp.example/a"),
    ],
)
def test_a_url_has_one_spelling(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mcp.example",
        "/mcp",
        "//mcp.example/mcp",
        "ftp://mcp.example",
        "javascript:alert(1)",
        "https://",
        "https:///mcp",
        "https://mcp.example#x",
        "https://mcp.example/#",
        "https://mcp.example/?x=1",
        "https://mcp.example?",
        "https://user@mcp.example",
        "https://user:password@mcp.example/",
        "https://mcp.example:0",
        "https://mcp.example:",
        "https://mcp.example:65536",
        "https://mcp.example:port",
        "https://mcp.example:-1",
        "https://mcp example/",
        "https://mcp.example/a b",
        "https://mcp.example\\@evil.example",
        "https://mcp.example/\n",
        "\thttps://mcp.example",
        "https://mcp.example/é",
        "https://mcp.exämple",
        "https://mcp.example/../x",
        "https://mcp.example/./x",
        "https://[::1",
        "https://[v1.x]/",
        "https://mcp..example",
        "https://-mcp.example",
    ],
)
def test_what_is_no_absolute_http_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURI):
        canonical_url(url)


@given(st.text(max_size=60))
def test_any_text_is_a_canonical_url_or_refused(text: str) -> None:
    for candidate in (text, f"https://mcp.example/{text}", f"https://{text}", f"https://mcp.example:{text}"):
        try:
            canonical = canonical_url(candidate)
        except InvalidURI:
            continue
        assert canonical_url(canonical) == canonical
        assert not canonical.endswith("/")
        assert not set("#?\\ ") & set(canonical)
        assert "@" not in canonical.split("/")[2]


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_computer_is_loopback(host: str) -> None:
    assert is_loopback(f"http://{host}:8000/mcp")


@pytest.mark.parametrize(
    "host",
    [
        "mcp.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::]",
        "0.0.0.0",  # noqa: S104 - a host to refuse, nothing is bound
    ],
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(f"http://{host}:8000/mcp")


# --------------------------------------------------------------------------------------------- redirects
@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback",
        "https://app.example",
        "https://app.example/callback?tenant=1",
        "https://app.example:8443/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1234/callback",
        "http://localhost:6274/oauth/callback",
        "http://[::1]:5000/",
        "cursor://anysphere.cursor-retrieval/oauth/callback",
        "vscode://vscode.github-authentication/did-authenticate",
        "com.example.app:/oauth",
        "com.example.app://oauth/callback",
        *(f"{scheme}://oauth/callback" for scheme in sorted(PRIVATE_USE_SCHEMES)),
    ],
)
def test_a_redirect_uri_that_may_be_registered_stays_unchanged(uri: str) -> None:
    assert check_redirect_uri(uri, PRIVATE_USE_SCHEMES) == uri
    assert redirect_uri_matches(uri, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/callback",
        "app.example/callback",
        "http://app.example/callback",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://127.0.0.2/callback",
        "http://0.0.0.0/callback",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "https://user@app.example/callback",
        "https://app.example/callback#x",
        "https://app.example/callback#",
        "https://app.example\\@evil.example/",
        "https://app.example/a b",
        "https://*.example/callback",
        "https:app.example",
        "https:/app.example",
        "https:///callback",
        " https://app.example/",
        "https://app.example/\r\nLocation: x",
        "https://app.example/\x00",
        "https://app.example/" + "x" * 3000,
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://app.example/x",
        "about:blank",
        "foo:/callback",
        "foo.:/callback",
        "foo..bar:/callback",
        "1cursor:/callback",
        "https://app.exämple/",
    ],
)
def test_a_redirect_uri_that_may_not_be_registered_is_refused(uri: str) -> None:
    with pytest.raises(InvalidURI):
        check_redirect_uri(uri, PRIVATE_USE_SCHEMES)


@pytest.mark.parametrize("scheme", sorted(FORBIDDEN_SCHEMES | {"http", "https"}))
def test_no_operator_can_allow_a_scheme_that_browsers_act_on(scheme: str) -> None:
    """REG-5."""
    with pytest.raises(InvalidURI):
        check_private_use_scheme(scheme.upper())
    with pytest.raises(InvalidURI):
        check_redirect_uri(f"{scheme}:x", frozenset({scheme}))


@pytest.mark.parametrize("scheme", ["", "a b", "a:", "1a", "a/b", "ä", "a\n"])
def test_an_operator_cannot_allow_what_is_no_scheme(scheme: str) -> None:
    with pytest.raises(InvalidURI):
        check_private_use_scheme(scheme)


def test_a_scheme_that_an_operator_allows_is_kept_in_lower_case() -> None:
    assert check_private_use_scheme("Acme-Notes") == "acme-notes"


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("http://127.0.0.1:4000/cb?a=b", "http://127.0.0.1/cb?a=b"),
        ("http://[::1]:4000", "http://[::1]"),
        ("http://localhost/cb", "http://localhost/cb"),
        ("https://app.example:8443/cb", "https://app.example:8443/cb"),
        ("cursor://x:4000/cb", "cursor://x:4000/cb"),
    ],
)
def test_only_loopback_is_taken_without_its_port(uri: str, same: str) -> None:
    assert without_loopback_port(uri) == same


@given(st.sampled_from(LOOPBACK), PATHS, st.integers(1, 65535), st.none() | st.integers(1, 65535))
def test_a_loopback_redirect_may_use_any_port(
    host: str, path: str, requested: int, registered: int | None
) -> None:
    """RFC 8252 §7.3."""
    ours = f"http://{host}{'' if registered is None else f':{registered}'}{path}"

    assert redirect_uri_matches(ours, f"http://{host}:{requested}{path}")
    assert redirect_uri_matches(ours, f"http://{host}{path}")


@pytest.mark.parametrize(
    "requested",
    [
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:x/callback",
        "http://127.0.0.1:1234/callback/",
        "http://127.0.0.1:1234/Callback",
        "http://127.0.0.1:1234/callback?x=1",
        "http://127.0.0.1:1234/callback#x",
        "http://127.0.0.1:1234/%63allback",
        "http://127.0.0.1:1234/a/../callback",
        "http://127.0.0.1:1234",
        "http://127.0.0.1:1234@evil.example/callback",
        "http://localhost:1234/callback",
        "http://[::1]:1234/callback",
        "https://127.0.0.1:1234/callback",
        "HTTP://127.0.0.1:1234/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.1/callback",
        "http://2130706433/callback",
        "http://127.0.0.1:1234/callback\n",
        "http://127.0.0.1:١٢/callback",
    ],
)
def test_nothing_but_the_port_may_differ(requested: str) -> None:
    assert not redirect_uri_matches("http://127.0.0.1/callback", requested)


@given(st.integers(1, 65535), PATHS)
def test_off_loopback_the_port_is_compared_too(port: int, path: str) -> None:
    for registered in (f"https://app.example{path}", "com.example.app://host/callback"):
        other = registered.replace("app.example", f"app.example:{port}").replace("://host", f"://host:{port}")

        assert not redirect_uri_matches(registered, other)


@given(st.text(max_size=60))
def test_a_registered_uri_matches_no_other_text(text: str) -> None:
    for registered in ("https://app.example/callback", "com.example.app:/callback"):
        for candidate in (text, registered + text, text + registered):
            assert redirect_uri_matches(registered, candidate) == (candidate == registered)


@pytest.mark.parametrize(
    ("uri", "kind", "label"),
    [
        ("https://app.example/callback", "web", "app.example"),
        ("https://App.Example:8443/callback", "web", "app.example:8443"),
        ("http://127.0.0.1:1234/callback", "loopback", "127.0.0.1:1234"),
        ("http://localhost/callback", "loopback", "localhost"),
        ("http://[::1]:5000/", "loopback", "[::1]:5000"),
        ("cursor://anysphere/callback", "app", "cursor://anysphere"),
        ("com.example.app:/oauth", "app", "com.example.app:"),
    ],
)
def test_a_person_is_told_where_the_answer_goes(uri: str, kind: str, label: str) -> None:
    target = redirect_target(uri)

    assert (target.kind, target.label) == (kind, label)
