"""Handles: what a tool gives out so that a later call brings it back, such as a cursor, a draft or a job.

To hold a handle is no proof of anything: models repeat what they read, and people paste it (MCP security best
practices, State Handle Hijacking). So a handle is sealed for the person who got it; brought by anyone else, altered,
or late, it is refused. Nothing is stored, and any replica can open it.

@mcp.tool()
async def start_export(handles: CurrentHandles) -> str:
    return handles.seal("export 7")

@mcp.tool()
async def fetch_export(handle: str, handles: CurrentHandles) -> bytes:
    return await contents_of(handles.unseal(handle))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from mcp.server.mcpserver import Context, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from app.clock import Clock
from app.resource_server.verifier import Caller

SCOPE_KEY = "ostiary.handles"


class HandleSealer:
    """The keys of handles: the first seals, every one opens.

    Args:
        keys: of 32 bytes, the same in every replica.
    """

    def __init__(self, keys: Sequence[bytes], clock: Clock) -> None:
        self.codec = AESGCMRequestStateCodec(list(dict.fromkeys(keys)))  # the SDK takes no key twice
        self.clock = clock


@dataclass(frozen=True, slots=True)
class Handles:
    """Seals and opens handles for one person at one resource."""

    sealer: HandleSealer
    owner: tuple[str, ...]

    def seal(self, value: str, kind: str = "", lifetime: timedelta = timedelta(hours=1)) -> str:
        """A text that only this person can bring back; `kind` keeps handles of different tools apart."""
        expires = (self.sealer.clock.now() + lifetime).timestamp()
        return self.sealer.codec.seal(json.dumps([kind, *self.owner, expires, value]).encode())

    def unseal(self, handle: str, kind: str = "") -> str:
        """What was sealed.

        Raises:
            ToolError: it was sealed for somebody else or as another kind, is too old, or was altered.
        """
        try:
            found, *owner, expires, value = json.loads(self.sealer.codec.unseal(handle))
        except InvalidRequestState:
            raise ToolError(_REFUSED) from None
        if (found, tuple(owner)) != (kind, self.owner) or self.sealer.clock.now().timestamp() >= expires:
            raise ToolError(_REFUSED)
        return str(value)


_REFUSED = "This handle is not valid here. Start again."


async def current_handles(context: Context) -> Handles:
    """Handles of whoever calls this tool.

    Raises:
        ToolError: the server runs without its door, or without keys for handles.
    """
    request = context.request_context.request
    caller = request.scope.get("user") if request is not None else None
    sealer = request.scope.get(SCOPE_KEY) if request is not None else None
    if not isinstance(caller, Caller) or not isinstance(sealer, HandleSealer):
        raise ToolError("This tool needs a signed-in caller.")
    principal = caller.principal
    return Handles(sealer, (principal.issuer, principal.subject, caller.access_token.resource or ""))


CurrentHandles = Annotated[Handles, Resolve(current_handles)]
