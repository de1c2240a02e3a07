"""One device code, twenty polls at once over two processes: it is spent once, wherever they arrive."""

import asyncio

import httpx2

from tests.device_flow import GRANT_TYPE
from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE, Client
from tests.support.process import ServerProcess
from tests.support.world import forms_of

ROUNDS = 10


async def test_opt_10_of_twenty_polls_with_an_approved_code_exactly_one_gets_tokens(
    pair: Pair, browser: httpx2.AsyncClient
) -> None:
    for _ in range(ROUNDS):
        async with flow.connections() as http:
            client = await flow.register(
                http, pair[0], grant_types=[GRANT_TYPE, "refresh_token"], redirect_uris=[]
            )
            form = {"client_id": client["client_id"], "scope": "mcp", "resource": pair[0].resource}
            asked = await http.post(f"{pair[0].url}/oauth/device_authorization", data=form)
            assert asked.status_code == 200, asked.text
            await _approve(browser, pair[1], asked.json()["user_code"])

            answers = await asyncio.gather(
                *(_poll(http, pair[n % 2], client, asked.json()["device_code"]) for n in range(AT_ONCE))
            )

            assert [answer.status_code for answer in answers].count(200) == 1
            for answer in answers:
                if answer.status_code != 200:
                    flow.assert_refused(answer)


async def _poll(
    http: httpx2.AsyncClient, at: ServerProcess, client: Client, device_code: str
) -> httpx2.Response:
    form = {"grant_type": GRANT_TYPE, "client_id": client["client_id"], "device_code": device_code}
    return await http.post(f"{at.url}/oauth/token", data=form)


async def _approve(browser: httpx2.AsyncClient, at: ServerProcess, user_code: str) -> None:
    """Type the code into the page and press the button of the one that follows."""
    page = await browser.get(f"{at.url}/device")
    [form] = forms_of(page.text)
    page = await browser.post(f"{at.url}{form.action}", data={**form.fields, "user_code": user_code})
    if page.status_code == 303:
        page = await browser.get(f"{at.url}{page.headers['location']}")
    form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
    answer = await browser.post(f"{at.url}{form.action}", data={**form.fields, "decision": "approve"})
    assert answer.status_code in {200, 303}, answer.text
