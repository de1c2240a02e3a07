"""The question: who may answer it, once, in time, and for what. CNS-1, 3, 4, 5, RAC-6."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import httpx2
import pytest

from tests.front_channel import (
    answer_to,
    assert_html,
    assert_page,
    assert_redirect_error,
    change,
    is_consent,
    no_effect,
)
from tests.support.world import World, answer_of, forms_of

WEB = "https://app.example/callback"
Alter = Callable[[str, "Others"], Mapping[str, str]]


class Others:
    """CSRF tokens that belong to something else."""

    def __init__(self, session: str, transaction: str, sign_in: str, sign_out: str) -> None:
        self.session = session
        self.transaction = transaction
        self.sign_in = sign_in
        self.sign_out = sign_out


async def question(
    world: World, browser: httpx2.AsyncClient, client: Mapping[str, Any], **changes: str | None
) -> str:
    """The address of the consent page that a request leads to."""
    parked = await world.authorize(browser, client, **changes)
    assert is_consent(parked), parked.headers.get("location")
    location: str = parked.headers["location"]
    return location


async def fields(browser: httpx2.AsyncClient, address: str) -> dict[str, str]:
    """The hidden fields of the form of a page."""
    page = await browser.get(address)
    assert page.status_code == 200, page.text
    return next(form.fields for form in forms_of(page.text) if "csrf_token" in form.fields)


async def codes(world: World) -> int:
    """How many authorization codes there are."""
    return (await world.counts())["authorization_codes"]


@pytest.mark.parametrize("decision", ["approve", "deny"])
@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda _own, _others: {}, id="CNS-1 no token"),
        pytest.param(lambda _own, _others: {"csrf_token": ""}, id="CNS-1 empty"),
        pytest.param(lambda _own, _others: {"csrf_token": "x" * 43}, id="CNS-1 made up"),
        pytest.param(lambda own, _others: {"csrf_token": own[:-1]}, id="CNS-1 shortened"),
        pytest.param(lambda own, _others: {"csrf_token": own + "x"}, id="CNS-1 lengthened"),
        pytest.param(lambda own, _others: {"csrf_token": own.swapcase()}, id="CNS-1 other case"),
        pytest.param(lambda _own, _others: {"csrf_token": "żółw 🐢"}, id="CNS-1 letters outside ASCII"),
        pytest.param(lambda _own, _others: {"csrf_token": "\x00"}, id="CNS-1 NUL"),
        pytest.param(lambda _own, others: {"csrf_token": others.session}, id="CNS-1 of another session"),
        pytest.param(
            lambda _own, others: {"csrf_token": others.transaction}, id="CNS-1 of another transaction"
        ),
        pytest.param(lambda _own, others: {"csrf_token": others.sign_in}, id="CNS-1 of the sign-in form"),
        pytest.param(lambda _own, others: {"csrf_token": others.sign_out}, id="CNS-1 of the sign-out form"),
        pytest.param(lambda own, _others: {"csrf": own}, id="CNS-1 under another name"),
    ],
)
async def test_a_decision_without_the_forms_own_token_is_refused(
    world: World, alter: Alter, decision: str
) -> None:
    client = await world.register(redirect_uris=[WEB])
    anonymous = world.browser()
    sign_in = (await fields(anonymous, "/login"))["csrf_token"]
    browser = await world.signed_in_browser()
    await world.create_user("bob")
    bob = await world.signed_in_browser("bob")
    others = Others(
        session=(await fields(bob, await question(world, bob, client)))["csrf_token"],
        transaction=(await fields(browser, await question(world, browser, client)))["csrf_token"],
        sign_in=sign_in,
        sign_out=(await fields(browser, "/logout"))["csrf_token"],
    )
    address = await question(world, browser, client)
    own = (await fields(browser, address))["csrf_token"]

    async with no_effect(world):
        answer = await browser.post(address, data={**alter(own, others), "decision": decision})
    assert_page(answer, status=403)

    answer = await world.decide(browser, address)
    assert answer_to(answer.headers["location"], WEB).keys() == {"code", "state", "iss"}


async def refusals(world: World) -> float:
    """How many refusals the metrics count."""
    metrics = (await world.machine("127.0.0.1").get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in metrics if line.startswith("ostiary_refusals_total{"))


async def test_cns_1_a_decision_that_is_refused_is_counted(world: World) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    before = await refusals(world)
    await browser.post(address, data={"csrf_token": "made up", "decision": "approve"})
    assert await refusals(world) == before + 1


async def test_cns_1_the_token_counts_in_the_form_only(world: World) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    own = (await fields(browser, address))["csrf_token"]
    async with no_effect(world):
        in_query = await browser.post(
            address, params={"csrf_token": own, "decision": "approve"}, data={"decision": "approve"}
        )
        by_get = await browser.get(address, params={"csrf_token": own, "decision": "approve"})
    assert_page(in_query, status=403)
    assert_html(by_get, 200)


@pytest.mark.parametrize("decision", [None, "", "Approve", "yes", "\x00", "approve deny"])
async def test_an_answer_that_is_neither_yes_nor_no_gives_nothing(world: World, decision: str | None) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    form = await fields(browser, address)
    async with no_effect(world):
        answer = await browser.post(
            address, data=form if decision is None else {**form, "decision": decision}
        )
    assert "code=" not in answer.headers.get("location", "")
    assert 200 <= answer.status_code < 500


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("approve", "approve", id="CNS-3 approve twice"),
        pytest.param("approve", "deny", id="CNS-3 deny after approve"),
        pytest.param("deny", "approve", id="CNS-3 approve after deny"),
        pytest.param("deny", "deny", id="CNS-3 deny twice"),
    ],
)
async def test_a_question_is_answered_once(world: World, first: str, second: str) -> None:
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    address = await question(world, browser, client)
    form = await fields(browser, address)

    answer = await browser.post(address, data={**form, "decision": first})
    again = await browser.post(address, data={**form, "decision": second})

    assert again.headers.get("location") == answer.headers["location"] or again.status_code == 400
    if again.status_code == 400:
        assert_page(again)
    assert (await browser.get(address)).status_code == 400
    if first == "approve":
        code = answer_to(answer.headers["location"], WEB)["code"]
        assert (await world.redeem(client, code)).status_code == 200
        assert len(await world.rows("SELECT * FROM grants")) == 1
    else:
        assert_redirect_error(world, answer, WEB, "access_denied", "some state")
        assert await world.rows("SELECT * FROM grants") == []
    assert await codes(world) == (first == "approve")


@pytest.mark.parametrize(
    "decisions",
    [
        pytest.param(["approve"] * 20, id="CNS-3 RAC-6 twenty approvals"),
        pytest.param(["approve", "deny"] * 10, id="CNS-3 approvals against refusals"),
    ],
)
async def test_answers_that_race_have_one_outcome(world: World, decisions: list[str]) -> None:
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    address = await question(world, browser, client)
    form = await fields(browser, address)
    answers: list[httpx2.Response] = []

    async def press(decision: str) -> None:
        answers.append(await browser.post(address, data={**form, "decision": decision}))

    async with anyio.create_task_group() as tasks:
        for decision in decisions:
            tasks.start_soon(press, decision)

    locations = {answer.headers["location"] for answer in answers if answer.status_code == 303}
    assert len(locations) == 1
    assert {answer.status_code for answer in answers} <= {303, 400}
    outcome = answer_to(locations.pop(), WEB)
    assert await codes(world) == ("code" in outcome)
    if "code" in outcome:
        assert (await world.redeem(client, outcome["code"])).status_code == 200


async def test_cns_4_the_first_of_two_open_pages_still_works(world: World) -> None:
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    address = await question(world, browser, client)
    first = await fields(browser, address)
    await fields(browser, address)

    answer = await browser.post(address, data={**first, "decision": "approve"})

    assert "code" in answer_to(answer.headers["location"], WEB)


async def test_two_questions_at_once_are_answered_each_for_itself(world: World) -> None:
    client = await world.register(redirect_uris=[WEB])
    browser = await world.signed_in_browser()
    one = await question(world, browser, client, state="one")
    two = await question(world, browser, client, state="two")

    second = await world.decide(browser, two)
    first = await world.decide(browser, one, "deny")

    assert answer_to(second.headers["location"], WEB)["state"] == "two"
    assert_redirect_error(world, first, WEB, "access_denied", "one")


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_cns_5_after_ten_minutes_one_starts_again(world: World, decision: str) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    form = await fields(browser, address)
    world.clock.advance(minutes=10, seconds=1)

    async with no_effect(world):
        shown = await browser.get(address)
        answer = await browser.post(address, data={**form, "decision": decision})
    for page in (shown, answer):
        assert_page(page)
        assert "start" in page.text.lower()
        assert "again" in page.text.lower()


async def test_cns_5_within_ten_minutes_one_may_think_about_it(world: World) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    form = await fields(browser, address)
    world.clock.advance(minutes=9, seconds=50)
    answer = await browser.post(address, data={**form, "decision": "approve"})
    assert "code" in answer_of(answer.headers["location"])


async def test_cns_5_a_request_that_expired_at_the_sign_in_page_starts_again(world: World) -> None:
    browser = world.browser()
    parked = await world.authorize(browser, await world.register())
    world.clock.advance(minutes=10, seconds=1)
    shown = await browser.get(parked.headers["location"])
    assert "code=" not in shown.headers.get("location", "")
    if shown.status_code == 200:
        answer = await world.sign_in(browser, at=parked.headers["location"])
        following = await browser.get(answer.headers["location"]) if answer.is_redirect else answer
        assert_page(following)
    else:
        assert_page(shown)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE clients SET disabled_at = created_at", id="client disabled"),
        pytest.param("DELETE FROM clients", id="client deleted"),
        pytest.param("UPDATE clients SET redirect_uris = :other", id="redirect URI removed"),
        pytest.param("UPDATE users SET disabled_at = created_at", id="person disabled"),
    ],
)
async def test_what_changed_since_the_question_was_asked_counts_at_the_answer(
    world: World, statement: str
) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register(redirect_uris=[WEB]))
    form = await fields(browser, address)
    more = {"other": '["https://app.example/other"]'} if ":other" in statement else {}
    await change(world, statement, **more)

    answer = await browser.post(address, data={**form, "decision": "approve"})

    assert not answer.headers.get("location", "").startswith(WEB)
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/login")
    elif answer.status_code != 403:
        assert_page(answer)
    assert (await codes(world), await world.rows("SELECT * FROM grants")) == (0, [])


async def test_a_form_that_cannot_be_read_gives_nothing(world: World) -> None:
    browser = await world.signed_in_browser()
    address = await question(world, browser, await world.register())
    for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        async with no_effect(world):
            answer = await browser.post(
                address, content=b"decision=approve", headers={"content-type": content_type}
            )
        assert answer.status_code in {400, 403}


@pytest.mark.parametrize(
    "request_id", ["x", "request_" + "0" * 32, "..%2f..%2flogin", "%00", "%ff", "x" * 5000]
)
async def test_a_question_that_was_never_asked_gets_a_page(world: World, request_id: str) -> None:
    browser = await world.signed_in_browser()
    form = await fields(browser, "/logout")
    async with no_effect(world):
        shown = await browser.get(f"/consent/{request_id}")
        answer = await browser.post(f"/consent/{request_id}", data={**form, "decision": "approve"})
    assert shown.status_code in {400, 404}
    assert answer.status_code in {400, 403, 404}
    for page in (shown, answer):
        assert page.headers["content-type"].startswith("text/html")
