"""The second click on the same button gets what the first got, as long as that is good. CNS."""

import asyncio

import httpx2
import pytest

from tests.front_channel import assert_html, change
from tests.support.world import World, answer_of, forms_of

CODE_LIFETIME = 60


class Question:
    """What a person is asked, in one browser, with as many answers as they click."""

    def __init__(self, browser: httpx2.AsyncClient, action: str, fields: dict[str, str]) -> None:
        self._browser, self._action, self._fields = browser, action, fields

    async def answer(self, decision: str = "approve") -> httpx2.Response:
        """Click."""
        return await self._browser.post(self._action, data={**self._fields, "decision": decision})


@pytest.fixture
async def question(world: World) -> Question:
    """Of an app that nobody allowed anything yet."""
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, await world.register())
    page = await browser.get(parked.headers["location"])
    form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
    return Question(browser, form.action, dict(form.fields))


async def events(world: World) -> list[str]:
    """What is on record about what was decided."""
    rows = await world.rows("SELECT event FROM audit_events WHERE event LIKE 'grant.%' ORDER BY id")
    return [row["event"] for row in rows]


@pytest.mark.parametrize(("decision", "event"), [("approve", "grant.approved"), ("deny", "grant.denied")])
async def test_the_same_answer_leads_to_the_same_address(
    world: World, question: Question, decision: str, event: str
) -> None:
    first = await question.answer(decision)
    again = await question.answer(decision)
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    assert await events(world) == [event]
    assert len(await world.rows("SELECT id FROM grants")) == (1 if decision == "approve" else 0)


@pytest.mark.parametrize("decisions", [("approve", "deny"), ("deny", "approve")])
async def test_another_answer_comes_too_late(question: Question, decisions: tuple[str, str]) -> None:
    assert (await question.answer(decisions[0])).status_code == 303
    refused = await question.answer(decisions[1])
    assert_html(refused, 400)
    assert "answered already" in refused.text


async def test_a_code_that_was_redeemed_is_not_given_again(world: World) -> None:
    browser, client = await world.signed_in_browser(), await world.register()
    parked = await world.authorize(browser, client)
    page = await browser.get(parked.headers["location"])
    form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
    data = {**form.fields, "decision": "approve"}
    location = (await browser.post(form.action, data=data)).headers["location"]
    assert (await world.redeem(client, answer_of(location)["code"])).status_code == 200
    assert_html(await browser.post(form.action, data=data), 400)


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_an_answer_is_given_again_as_long_as_a_code_lives(
    world: World, question: Question, decision: str
) -> None:
    await question.answer(decision)
    world.clock.advance(seconds=CODE_LIFETIME - 1)
    assert (await question.answer(decision)).status_code == 303
    world.clock.advance(seconds=1)
    assert_html(await question.answer(decision), 400)


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param("UPDATE grants SET revoked_at = created_at", id="taken back"),
        pytest.param(
            "UPDATE grants SET user_id = (SELECT id FROM users WHERE username = 'bob')",
            id="of another person",
        ),
        pytest.param("DELETE FROM authorization_codes", id="purged"),
    ],
)
async def test_what_is_over_is_not_given_again(world: World, question: Question, meanwhile: str) -> None:
    await world.create_user("bob")
    assert (await question.answer()).status_code == 303
    await change(world, meanwhile)
    assert_html(await question.answer(), 400)


async def test_twenty_clicks_at_once_are_one_answer(world: World, question: Question) -> None:
    answers = await asyncio.gather(*(question.answer() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await events(world) == ["grant.approved"]


async def test_two_questions_have_two_codes(world: World) -> None:
    client = await world.register()
    assert await world.code(client) != await world.code(client)
