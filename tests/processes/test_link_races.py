"""Twenty at once over two processes: a link to a new password is used once."""

import asyncio
from pathlib import Path

import httpx2

from tests.command_line import command_line
from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE
from tests.support.process import USERNAME
from tests.working_pages import form_to

ROUNDS = 5


async def test_lgn_12_of_twenty_who_use_one_link_at_once_exactly_one_sets_the_password(
    pair: Pair, empty_database: str, folder: Path
) -> None:
    cli = command_line(empty_database, folder, SECRET_KEY=pair[0].settings["SECRET_KEY"])
    for _ in range(ROUNDS):
        link = (await cli.quickly("users", "reset-link", USERNAME, "--json")).data["link"]
        path = link[link.index("/link/") :]
        browsers = [flow.new_browser() for _ in range(AT_ONCE)]
        pages = [await browser.get(f"{pair[0].url}{path}") for browser in browsers]

        async def use(number: int, path: str, browser: httpx2.AsyncClient, page: str) -> httpx2.Response:
            password = f"the password of number {number}"
            data = {**form_to(page, path).fields, "new": password, "again": password}
            return await browser.post(f"{pair[number % 2].url}{path}", data=data)

        answers = await asyncio.gather(
            *(use(number, path, browser, pages[number].text) for number, browser in enumerate(browsers))
        )

        assert sorted(answer.status_code for answer in answers) == [303, *[404] * (AT_ONCE - 1)]
        (winner,) = (number for number, answer in enumerate(answers) if answer.status_code == 303)
        async with flow.new_browser() as browser:
            signed_in = await flow.sign_in(browser, pair[1], password=f"the password of number {winner}")
        assert signed_in.status_code == 303
        for browser in browsers:
            await browser.aclose()
