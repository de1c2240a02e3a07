"""An answer that waits for what must not happen before the request's transaction is committed, as sending a letter."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class AfterCommit(Response):
    """Made when it is about to leave; by then the transaction of `TransactionDep` is committed, and its connection is
    free again.
    """

    def __init__(self, make: Callable[[], Awaitable[Response]]) -> None:
        super().__init__()
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the answer, and send it."""
        response = await self._make()
        await response(scope, receive, send)
