"""`openid-client`: an application that signs people in here, and believes nothing that it did not check."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.dialogue import SECONDS, event, talking
from interop.server import Server
from interop.toolbox import Toolbox


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_a_person_signs_in_to_an_application(
    server: Server, toolbox: Toolbox, home: Path, method: str
) -> None:
    with talking(toolbox, home, "openid.mjs", server.url, method) as client:
        client.say(server.person.authorize(event(client, "authorize")["url"]))
        signed_in = event(client, "signed in")
        claims, info = signed_in["claims"], signed_in["info"]
        assert (claims["iss"], claims["aud"]) == (server.url, signed_in["client_id"])
        assert info == {
            "sub": claims["sub"],
            "preferred_username": server.person.username,
            "name": "Jane Doe",
            "email": "jane@example.org",
        }
        assert info.items() <= claims.items()
        # Told to the application alone: the protected endpoint takes it for nothing.
        server.refuses(signed_in["id_token"])
        client.say(server.person.authorize(event(client, "authorize")["url"]))
        event(client, "checked")
        assert client.finish(SECONDS) == 0, client.everything
