"""The pieces of the pages where someone works: what strangers chose stays text in each of them. CNS-13."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from app.routers.pages.charts import bars, over_time, sparkline
from app.routers.pages.lists import Column, fresh_link, link, sortable
from app.routers.pages.render import STATIC
from app.routers.pages.words import ago, counted, duration, moment, number
from tests.gallery import HOSTILE, LONG, PAGES, gallery

NOW = datetime(2026, 11, 23, 6, 22, 48, 999, tzinfo=UTC)
LARGEST_SHEET = 12_000
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
# What stands for itself, and so may hold any character.
AS_TYPED = {"option", "textarea", "pre", "code", "title"}
VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Notes the elements of a page, and the texts that turn their surroundings."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.turned: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} ends what is not open"

    def handle_data(self, data: str) -> None:
        if TURNING.search(data) and not AS_TYPED & set(self.open):
            self.turned.append(data)


def read(page: str, hostile: str) -> Reader:
    reader = Reader()
    reader.feed(bytes(gallery(page, hostile).body).decode())
    reader.close()
    return reader


@pytest.mark.parametrize("hostile", [HOSTILE, LONG], ids=["hostile", "10,000 long"])
@pytest.mark.parametrize("page", PAGES)
def test_words_of_strangers_stay_words(page: str, hostile: str) -> None:
    reader = read(page, hostile)
    assert reader.open == []
    assert reader.turned == []
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"img", "iframe", "object", "style"}
    assert [attributes.keys() for tag, attributes in reader.elements if tag == "script"] == [
        {"src", "nonce", "defer"}
    ]
    names = {name for _, attributes in reader.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "style" not in names


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_for_those_who_do_not_see_it(page: str) -> None:
    elements = read(page, HOSTILE).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set((attributes.get(name) or "").split()) <= set(ids), attributes
    assert len([tag for tag, _ in elements if tag == "h1"]) == 1
    for tag, attributes in elements:
        assert tag != "svg" or {"role", "aria-hidden"} & attributes.keys()


def test_the_sheet_is_small() -> None:
    assert len((STATIC / "ostiary.css").read_bytes()) < LARGEST_SHEET


# ---------------------------------------------------------------------------------------------- words
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (4, "just now"),
        (5, "5 seconds ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3 * 60 + 59, "3 minutes ago"),
        (3600, "1 hour ago"),
        (47 * 3600, "1 day ago"),
        (29 * 86400, "29 days ago"),
        (30 * 86400, "1 month ago"),
        (800 * 86400, "2 years ago"),
        (-4, "just now"),
        (-90, "in 1 minute"),
        (-86400 * 3, "in 3 days"),
    ],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert ago(NOW, NOW - timedelta(seconds=seconds)) == words


def test_a_moment_is_shown_in_utc_to_the_second() -> None:
    there = datetime.fromisoformat("2026-11-23T07:20:48.5+01:00")
    shown = moment(NOW, there)
    assert shown is not None
    assert (shown.iso, shown.exact) == ("2026-11-23T06:20:48Z", "23 Nov 2026, 06:20:48 UTC")
    assert shown.ago == "2 minutes ago"
    assert moment(NOW, None) is None


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=5), "5 minutes"),
        (timedelta(hours=1, minutes=5, seconds=7), "1 hour 5 minutes"),
        (timedelta(days=90), "90 days"),
        (timedelta(days=1, seconds=3), "1 day 3 seconds"),
    ],
)
def test_how_long(length: timedelta, words: str) -> None:
    assert duration(length) == words


def test_numbers_have_commas_and_their_things_the_right_number() -> None:
    assert number(100_000) == "100,000"
    assert [counted(n, "grant") for n in (0, 1, 2345)] == ["0 grants", "1 grant", "2,345 grants"]
    assert counted(2, "person", "people") == "2 people"


# ---------------------------------------------------------------------------------------------- lists
def test_a_link_changes_one_thing_and_keeps_the_rest() -> None:
    query = {"q": "a&b", "state": "off", "after": "x"}
    assert link("/admin/clients", query, state=None) == "/admin/clients?q=a%26b&after=x"
    assert fresh_link("/admin/clients", query, state="on") == "/admin/clients?q=a%26b&state=on"
    assert link("/admin/clients", {}, q="") == "/admin/clients"


@pytest.mark.parametrize(
    ("sort", "direction", "onward"),
    [
        ("", None, "name"),
        ("used", None, "name"),
        ("name", "ascending", "-name"),
        ("-name", "descending", "name"),
    ],
)
def test_a_column_sorts_and_sorts_back(sort: str, direction: str | None, onward: str) -> None:
    column = sortable("Name", "name", "/clients", {"sort": sort})
    assert (column.direction, column.url) == (direction, f"/clients?sort={onward}")
    assert Column("Name").url is None


# --------------------------------------------------------------------------------------------- charts
def test_a_sparkline_spans_the_picture() -> None:
    drawn = sparkline([0, 5, 10])
    assert (drawn.width, drawn.line, drawn.area) == (20, "M0 100L10 50L20 0", "M0 100L10 50L20 0V100H0z")
    assert sparkline([]).line == ""
    assert sparkline([3]).line == "M0 0h10"
    assert sparkline([0, 0]).line == "M0 100L10 100"


def test_bars_are_parts_of_the_longest() -> None:
    assert [bar.share for bar in bars([("a", 3), ("b", 1), ("c", 0)])] == [100, 33.3, 0]
    assert bars([]) == ()
    assert bars([("a", 0)])[0].share == 0


def test_columns_stand_on_each_other() -> None:
    drawn = over_time(["1", "2"], {"a": [1, 0], "b": [3, 4]})
    assert (drawn.top, drawn.width) == (4, 20)
    assert drawn.series[0].path == "M0.8 100v-25h8.5v25z"
    assert drawn.series[1].path == "M0.8 75v-75h8.5v75zM10.8 100v-100h8.5v100z"
    assert [slot.values for slot in drawn.slots] == [(1, 3), (0, 4)]


def test_lines_go_through_the_middle_of_their_time() -> None:
    drawn = over_time(["1", "2"], {"a": [1, 2]}, stacked=False)
    assert drawn.series[0].path == "M5 50L15 0"


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert over_time([], {}).slots == ()
    assert over_time(["1"], {}, stacked=False).top == 1
    assert over_time(["1"], {"a": [0]}).series[0].path == ""


@pytest.mark.parametrize(
    ("most", "top"), [(1, 1), (7, 7), (27, 30), (61, 65), (1240, 1500), (100_000, 100_000)]
)
def test_an_axis_ends_at_a_round_number(most: int, top: int) -> None:
    assert over_time(["1"], {"a": [most]}).top == top


def test_every_series_has_a_number_for_each_time() -> None:
    with pytest.raises(ValueError, match="zip"):
        over_time(["1", "2"], {"a": [1]})
