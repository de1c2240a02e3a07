"""Apps that somebody connected, put behind the server's back: many, old ones, used ones."""

from datetime import UTC, datetime, timedelta

from app.accounts.store import find_user_by_username
from app.authorization_server import grant_store, store
from app.authorization_server.records import Client, Grant
from app.database import Transaction
from app.oauth.credentials import mint_id, mint_reference

SCOPES = ("mcp", "mcp profile offline_access", "mcp profile email offline_access")


async def connect(tx: Transaction, username: str, resource: str, *names: str) -> None:
    """Let these apps act for somebody; each third is described by a document, each fifth was checked."""
    user = await find_user_by_username(tx, username)
    assert user is not None
    for number, name in enumerate(names):
        now = datetime.now(UTC) - timedelta(days=number, hours=1 + number % 7)
        document = number % 3 == 1
        client = Client(
            client_id=f"https://apps.example/{mint_id('')}/client.json" if document else mint_id("client_"),
            client_name=name,
            redirect_uris=["https://apps.example/callback"],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
            scope=None,
            information={},
            secret_hash=None,
            secret_expires_at=None,
            registration="document" if document else "dynamic",
            registered_from="192.0.2.1",
            created_at=now,
            last_used_at=now,
            disabled_at=None,
            approved_at=now if number % 5 == 3 else None,
        )
        await store.add_client(tx, client)
        used = number % 4 != 2
        grant = Grant(
            id=mint_id("grant_"),
            user_id=user.id,
            client_id=client.client_id,
            resource=resource,
            scope=SCOPES[number % 3],
            redirect_uri=None,
            reference=mint_reference(),
            created_at=now,
            expires_at=now + timedelta(days=400),
            first_used_at=now + timedelta(minutes=3) if used else None,
            last_used_at=now + timedelta(minutes=9) if used else None,
            last_used_from="2001:db8:85a3:8d3:1319:8a2e:370:7348" if used else None,
        )
        await grant_store.add_grant(tx, grant)
