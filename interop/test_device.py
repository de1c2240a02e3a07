"""`openid-client` as a program without a browser: a person lets it in at another screen (RFC 8628)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server
from interop.toolbox import Toolbox


def test_a_device_gets_its_tokens_by_polling(server: Server, toolbox: Toolbox, home: Path) -> None:
    with talking(toolbox, home, "device.mjs", server.mcp) as client:
        codes = event(client, "connect")
        picture = httpx2.get(f"{codes['verification_uri']}/qr.svg", params={"user_code": codes["user_code"]})
        assert picture.headers["content-type"] == "image/svg+xml"
        assert "You are connected" in server.person.connect(codes["verification_uri_complete"])
        client.say("done")
        for _ in ("the first token", "the refreshed token"):
            server.speaks_for_the_person(event(client, "whoami")["result"])
        assert client.finish(SECONDS) == 0, client.everything


@pytest.mark.parametrize("filled_in", [True, False])
def test_a_device_that_is_turned_away_is_told_so(
    server: Server, toolbox: Toolbox, home: Path, filled_in: bool
) -> None:
    person = replace(server.person, decision="deny")
    with talking(toolbox, home, "device.mjs", server.mcp) as client:
        codes = event(client, "connect")
        where = codes["verification_uri_complete"] if filled_in else codes["verification_uri"]
        assert "turned away" in person.connect(where, codes["user_code"].lower())
        client.say("done")
        assert event(client, "denied")["error"] == "access_denied"
        assert client.finish(SECONDS) == 0, client.everything
