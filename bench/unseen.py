"""The server as `ostiary serve` starts it, but nobody sees a call: no id, no count, no time, no line, no span."""

import sys
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from app.application import Application
from app.cli import main

_seen = Application.__call__


async def _unseen(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    if scope.get("path") != "/mcp":
        await _seen(app, scope, receive, send)
        return

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *app.answer_headers]
        await send(message)

    serve: Any = app._proxied
    await serve(scope, receive, send_with_headers)


if __name__ == "__main__":
    Application.__call__ = _unseen  # type: ignore[method-assign, assignment]
    sys.argv.append("serve")
    main()
