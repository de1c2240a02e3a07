"""`python -m tests.faults.off_clock SECONDS PORT`: a replica whose clock is that much ahead, or behind."""

import sys
from datetime import datetime, timedelta

import uvicorn

from app.clock import SystemClock
from app.connections import LimitedConnection
from app.main import create_app


class OffClock(SystemClock):
    """The machine's time, and some seconds."""

    def __init__(self, seconds: float) -> None:
        self._off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._off


def main(seconds: str, port: str) -> None:
    """Serve until told to end."""
    app = create_app(clock=OffClock(float(seconds)))
    uvicorn.run(
        app,
        port=int(port),
        proxy_headers=False,
        access_log=False,
        log_config=None,
        http=LimitedConnection,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
