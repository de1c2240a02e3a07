"""A server that sends letters, as a plugin: a file asks for it with `pytest_plugins = ["tests.letters_fixtures"]`."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.letters import MAIL_FROM
from tests.mail_server import MailBox, running_mail_server
from tests.support.world import World


@pytest.fixture
async def box() -> AsyncIterator[MailBox]:
    """A mail server."""
    async with running_mail_server() as running:
        yield running


@pytest.fixture
async def writing(make_world: Callable[..., Any], box: MailBox) -> World:
    """A server that sends letters, and alice."""
    world: World = await make_world(smtp_url=box.url, mail_from=MAIL_FROM)
    await world.create_user("alice")
    return world
