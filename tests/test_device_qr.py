"""The QR code of a device's link, as a page, a picture and text."""

import re
from collections.abc import Sequence

import pytest
import segno

from tests.front_channel import Standing, assert_html, assert_page

pytest_plugins = ["tests.standing"]

CODE = "WDJB-MJHT"
LINK = f"http://localhost:8000/device?user_code={CODE}"
MARGIN = 4


def expected(link: str) -> list[list[bool]]:
    """The modules of a link's code with the margin that readers need."""
    code = segno.make(link, error="m", micro=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=MARGIN)]


def modules_of(path: str, size: int) -> list[list[bool]]:
    """What a path paints, one unit a module."""
    painted = [[False] * size for _ in range(size)]
    for x, y, length, back in re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", path):
        assert length == back
        for step in range(int(length)):
            painted[int(y)][int(x) + step] = True
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", path)
    return painted


def modules_of_text(text: str) -> Sequence[Sequence[bool]]:
    """What block characters paint, light on dark."""
    rows: list[list[bool]] = []
    for line in text.splitlines():
        rows.append([sign not in "█▀" for sign in line])
        rows.append([sign not in "█▄" for sign in line])
    return rows


async def test_the_picture_holds_the_link_with_the_code(standing: Standing) -> None:
    answer = await standing.world.browser().get("/device/qr.svg", params={"user_code": CODE})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    size = int(answer.text.partition('viewBox="0 0 ')[2].partition(" ")[0])
    light, dark = re.findall(r'd="([^"]*)"', answer.text)
    assert light == f"M0 0h{size}v{size}H0z"
    assert modules_of(dark, size) == expected(LINK)


async def test_a_terminal_gets_it_in_block_characters(standing: Standing) -> None:
    answer = await standing.world.http.get("/device/qr.txt", params={"user_code": CODE})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    wanted = expected(LINK)
    painted = modules_of_text(answer.text)
    assert [list(row) for row in painted[: len(wanted)]] == wanted
    assert not any(any(row) for row in painted[len(wanted) :])


async def test_the_page_shows_it_to_anyone_and_leads_back(standing: Standing) -> None:
    page = await standing.world.browser().get("/device/qr", params={"user_code": CODE})

    assert_html(page, 200)
    path = re.search(r'<path d="(M[^"]*)" />\s*</svg>\s*<p class="mid">', page.text)
    assert path is not None
    assert modules_of(path[1], len(expected(LINK))) == expected(LINK)
    assert f'href="/device?user_code={CODE}"' in page.text
    assert "localhost:8000/device" in page.text


@pytest.mark.parametrize("typed", ["wdjbmjht", " WDJB MJHT ", "WDJB-MJHT\x00"])
async def test_the_code_may_be_spelled_otherwise(standing: Standing, typed: str) -> None:
    browser = standing.world.browser()

    answers = [await browser.get("/device/qr.svg", params={"user_code": code}) for code in (typed, CODE)]

    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("path", ["/device/qr", "/device/qr.svg", "/device/qr.txt"])
@pytest.mark.parametrize("typed", ["", "WDJB", "<script>alert(1)</script>", "WDJB-MJHTX"])
async def test_there_is_no_picture_of_what_is_no_code(standing: Standing, path: str, typed: str) -> None:
    assert_page(await standing.world.browser().get(path, params={"user_code": typed}), [typed], status=404)


async def test_whether_the_code_is_good_is_not_told(standing: Standing) -> None:
    """It is made of the address alone; a code that waits looks like one that does not."""
    events = await standing.world.rows("SELECT count(*) AS n FROM audit_events")

    for path in ("/device/qr", "/device/qr.svg", "/device/qr.txt"):
        assert (await standing.world.browser().get(path, params={"user_code": "BCDFGHJK"})).status_code == 200

    assert await standing.world.rows("SELECT count(*) AS n FROM audit_events") == events
