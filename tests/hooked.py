"""A server that asks a module of the operator's, which each test writes; a plugin, as `tests.standing` is."""

import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from app.resource_server.identity import CurrentPrincipal
from tests.support.world import World

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
server = MCPServer("with-props")


@server.tool()
async def props(principal: CurrentPrincipal) -> dict[str, Any]:
    """What the operator attached."""
    return dict(principal.props)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The operator's module, empty yet."""
    made = ModuleType("operators_hooks")
    monkeypatch.setitem(sys.modules, "operators_hooks", made)
    return made


@pytest.fixture
def make_hooked(make_world: MakeWorld) -> MakeWorld:
    """Start a server that asks the module."""

    async def make(**changes: Any) -> World:
        changes = {"mcp_server": "tests.hooked:server", **changes}
        return await make_world(hooks="operators_hooks", **changes)

    return make
