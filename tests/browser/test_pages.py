"""Every page, narrow and wide, light and dark, with and without scripts: readable, quiet, no wider than the screen."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Visit
from tests.browser.gallery import show
from tests.browser.scenes import SCENES, Scene, consent_for_a_hostile_app
from tests.browser.visitor import Visitor
from tests.gallery import LONG, PAGES

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parents[2] / "artefacts" / "pages"
LOOKS = [
    pytest.param(
        {"color_scheme": scheme, "viewport": {"width": width, "height": height}}, id=f"{name} {scheme}"
    )
    for scheme in ("light", "dark")
    for name, width, height in (("narrow", 390, 844), ("wide", 1280, 900))
]
CONTRAST = 4.5
# What of the text stands out too little: the colour of each piece of text against what is painted below it.
TOO_PALE = """
(least) => {
  const channels = (colour) => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const below = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour.slice(0, 3);
    }
    return channels('Canvas').slice(0, 3);
  };
  const pale = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    const [one, two] = [channels(getComputedStyle(element).color).slice(0, 3), below(element)].map(luminance);
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < least) pale.add(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...pale];
}
"""
# What people need who do not see the page, or not with a mouse.
OUT_OF_ORDER = """
() => {
  const wrong = [];
  const say = (what, elements) => [...elements].forEach((e) => wrong.push(`${what}: ${e.outerHTML.slice(0, 80)}`));
  const all = (selector) => [...document.querySelectorAll(selector)];
  if (!document.documentElement.lang) wrong.push('no language');
  if (!document.title.trim()) wrong.push('no title');
  if (all('h1').length !== 1) wrong.push(`${all('h1').length} first headings`);
  if (all('main').length !== 1) wrong.push(`${all('main').length} main parts`);
  say('no label', all('input:not([type=hidden])').filter((e) => !e.labels.length && !e.ariaLabel));
  say('no name', all('a, button').filter((e) => !e.textContent.trim() && !e.ariaLabel));
  say('no alternative', all('img:not([alt]), svg:not([aria-hidden]):not([aria-label]):not([role])'));
  say('same id', all('[id]').filter((e) => all(`[id="${CSS.escape(e.id)}"]`).length > 1));
  say('too small', all('button, form input:not([type=hidden]):not([type=radio])')
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24));
  say('a script', all('script:not([src][nonce]), [onclick], [onload], [onerror]'));
  say('a style', all('[style], body style'));
  return wrong;
}
"""
TOO_WIDE = """
() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (e) => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
  const over = [...document.body.querySelectorAll('*')].filter(
    (e) => e.checkVisibility() && !scrolls(e.parentElement) && e.getBoundingClientRect().right > width + 1);
  return document.documentElement.scrollWidth > width || over.length
    ? [`${document.documentElement.scrollWidth} > ${width}`, ...over.map((e) => e.outerHTML.slice(0, 80))] : [];
}
"""


async def picture(visitor: Visitor, name: str) -> None:
    """Keep how the whole page looks."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    # "initial": to hide the caret, styles would be written into the page.
    await visitor.page.screenshot(path=PICTURES / f"{name}.png", full_page=True, caret="initial")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_a_page_can_be_used(visit: Visit, scene: Scene, look: dict[str, Any]) -> None:
    visitor = await visit(**look)
    await scene(visitor)
    await check_page(visitor, scene.__name__, look)


async def check_page(visitor: Visitor, scene: str, look: dict[str, Any]) -> None:
    """Keep a picture of the page, and see that everybody can use it."""
    await picture(visitor, f"{scene}-{look['viewport']['width']}-{look['color_scheme']}")
    assert await visitor.page.evaluate(TOO_WIDE) == []
    assert await visitor.page.evaluate(OUT_OF_ORDER) == []
    assert await visitor.page.evaluate(TOO_PALE, CONTRAST) == []
    await assert_accessible(visitor.page)
    assert [url for url in visitor.requested if not url.startswith((visitor.site.url, "cursor:"))] == []


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_a_page_needs_no_script(visit: Visit, scene: Scene) -> None:
    visitor = await visit(java_script_enabled=False, viewport={"width": 390, "height": 844})
    await scene(visitor)
    await expect(visitor.page.locator("h1")).to_be_visible()
    await picture(visitor, f"{scene.__name__}-390-no-script")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"forced_colors": "active"}, id="forced colours"),
        pytest.param({"reduced_motion": "reduce"}, id="reduced motion"),
        pytest.param({"viewport": {"width": 320, "height": 568}}, id="320 wide"),
        pytest.param({"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2}, id="magnified"),
    ],
)
async def test_the_question_bears_other_ways_to_look_at_it(
    visit: Visit, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    visitor = await visit(**options)
    await consent_for_a_hostile_app(visitor)
    name = re.sub(r"\W+", "-", request.node.callspec.id).strip("-")
    await picture(visitor, f"consent-{name}")
    assert await visitor.page.evaluate(TOO_WIDE) == []
    for decision in ("deny", "approve"):
        assert await visitor.page.locator(f"button[value={decision}]").is_visible()


async def test_refusing_and_allowing_are_equally_easy_to_press(visit: Visit) -> None:
    visitor = await visit(viewport={"width": 390, "height": 844})
    await consent_for_a_hostile_app(visitor)
    deny, approve = [
        await visitor.page.locator(f"button[value={decision}]").bounding_box()
        for decision in ("deny", "approve")
    ]
    assert deny is not None
    assert approve is not None
    assert deny["height"] == pytest.approx(approve["height"], abs=2)
    assert deny["width"] >= 0.8 * approve["width"]
    assert (deny["y"], deny["x"]) <= (approve["y"], approve["x"])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
async def test_the_pieces_of_pages_can_be_used(visit: Visit, name: str, look: dict[str, Any]) -> None:
    visitor = await visit(**look)
    await show(visitor, name)
    await picture(visitor, f"gallery-{name}-{look['viewport']['width']}-{look['color_scheme']}")
    for summary in await visitor.page.locator("details > summary").all():
        await summary.click()
    assert await visitor.page.evaluate(TOO_WIDE) == []
    assert await visitor.page.evaluate(OUT_OF_ORDER) == []
    assert await visitor.page.evaluate(TOO_PALE, CONTRAST) == []
    await assert_accessible(visitor.page)


@pytest.mark.parametrize("name", PAGES)
async def test_the_pieces_of_pages_bear_very_long_words(visit: Visit, name: str) -> None:
    for width in (320, 390, 900, 1280):
        visitor = await visit(viewport={"width": width, "height": 900})
        await show(visitor, name, LONG)
        assert await visitor.page.evaluate(TOO_WIDE) == []


async def test_a_page_speaks_to_nobody_but_this_server(visit: Visit) -> None:
    visitor = await visit()
    for scene in (SCENES[0], consent_for_a_hostile_app):
        await scene(visitor)
    assert {url.split("/")[2] for url in visitor.requested} == {visitor.site.url.split("/")[2]}
