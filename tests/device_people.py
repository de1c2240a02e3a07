"""A device that waits, and someone who can answer it; a plugin, as `tests.standing` is."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests import device_flow
from tests.device_flow import Device
from tests.support.world import World

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def device(world: World) -> Device:
    """A device that waits."""
    return await device_flow.begin(world, await device_flow.register(world))


@pytest.fixture
async def alice(world: World) -> httpx2.AsyncClient:
    """A browser in which alice is signed in."""
    return await world.signed_in_browser()
