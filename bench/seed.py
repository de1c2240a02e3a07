"""A PostgreSQL database as it looks after years: many clients, most of them the same app again, and all that happened.

Rows are made by the database itself, so that 100,000 clients and 1,000,000 events take seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import sqlalchemy as sa

# Of a hundred clients, sixty are one app that registers at each connect, thirty one of 500 others, ten like no other.
_CLIENTS = """
INSERT INTO clients (client_id, client_name, redirect_uris, grant_types, response_types, token_endpoint_auth_method,
                     information, registration, registered_from, created_at, last_used_at, disabled_at, approved_at,
                     fingerprint, search_text, sort_name)
SELECT client_id, name, jsonb_build_array(uri), '["authorization_code", "refresh_token"]', '["code"]', 'none', '{}',
       CASE WHEN i % 100 = 99 THEN 'manual' WHEN i % 100 = 98 THEN 'document' ELSE 'dynamic' END,
       '203.0.113.' || i % 250, at, CASE WHEN i % 5 = 0 THEN at + interval '1 hour' END,
       CASE WHEN i % 997 = 0 THEN at END, CASE WHEN i % 499 = 0 THEN at END,
       CASE WHEN i % 100 >= 90 THEN client_id ELSE md5(name) END,
       lower(name || E'\\n' || client_id || E'\\n' || host), lower(name)
FROM (SELECT i, now() - i * interval '5 minutes' AS at,
             CASE WHEN i % 100 = 98 THEN 'https://app' || i || '.example/client' ELSE 'client_' || md5(i::text) END
                 AS client_id,
             CASE WHEN i % 100 < 60 THEN 'Claude Code' WHEN i % 100 < 90 THEN 'App ' || i % 500 ELSE 'Single ' || i END
                 AS name,
             'host' || i % 500 || '.example' AS host, 'https://host' || i % 500 || '.example/callback' AS uri
      FROM generate_series(1, $1) AS i) AS made
"""
_USERS = """
INSERT INTO users (id, username, name, email, is_admin, created_at, password_changed_at)
SELECT 'user_' || md5(i::text), 'person' || i, 'Person ' || i, 'person' || i || '@example.com', false, now(), now()
FROM generate_series(1, $1) AS i
"""
_GRANTS = """
INSERT INTO grants (id, user_id, client_id, resource, scope, reference, created_at, expires_at, last_issued_at,
                    revoked_at, revoked_because)
SELECT 'grant_' || md5(i::text), 'user_' || md5((1 + i % $2)::text), 'client_' || md5(i::text),
       'http://localhost:8000/mcp', 'mcp profile', 'REF' || i, now() - i * interval '5 minutes',
       now() + interval '30 days', now() - i * interval '4 minutes',
       CASE WHEN i % 3 = 0 THEN now() END, CASE WHEN i % 3 = 0 THEN 'person' END
FROM generate_series(1, $1) AS i WHERE i % 100 < 90
"""
# One client with a long history, and the others with a little each.
_EVENTS = """
INSERT INTO audit_events (at, event, outcome, reason, user_id, client_id, source, reference)
SELECT now() - i * interval '30 seconds',
       (ARRAY['token.issued', 'grant.approved', 'client.registered', 'refused /oauth/token', 'user.signed_in'])
           [1 + i % 5],
       CASE WHEN i % 5 = 3 THEN 'invalid_grant' ELSE 'ok' END, CASE WHEN i % 5 = 3 THEN 'code_expired' END,
       'user_' || md5((1 + i % $2)::text),
       'client_' || md5(CASE WHEN i % 20 = 0 THEN '1' ELSE (1 + i % $3)::text END), '203.0.113.' || i % 250, 'E' || i
FROM generate_series(1, $1) AS i
"""
# Two months, by the hour: calls of two resources, tokens, registrations and thirty reasons to refuse.
_TALLIES = """
INSERT INTO tallies (hour, kind, label, count)
SELECT date_trunc('hour', now()) - h * interval '1 hour', kind, label, 1 + (h * 37 + length(label) * 11) % 900
FROM generate_series(0, 1500) AS h,
     (SELECT 'call' AS kind, unnest(ARRAY['/mcp', '/mcp/notes']) AS label
      UNION ALL SELECT 'token', unnest(ARRAY['authorization_code', 'refresh_token', 'client_credentials'])
      UNION ALL SELECT 'registration', unnest(ARRAY['dynamic', 'document'])
      UNION ALL SELECT 'refusal', '/oauth/token: reason_' || n FROM generate_series(1, 30) AS n) AS counted
"""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there is to be."""

    clients: int = 100_000
    users: int = 2_000
    events: int = 1_000_000


async def seed(database_url: str, amounts: Amounts = Amounts()) -> None:
    """Fill a migrated, empty database; afterwards it knows how much there is, as autovacuum would have told it."""
    url = sa.make_url(database_url).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        await connection.execute(_CLIENTS, amounts.clients, timeout=600)
        await connection.execute(_USERS, amounts.users, timeout=600)
        await connection.execute(_GRANTS, amounts.clients, amounts.users, timeout=600)
        if amounts.events:
            await connection.execute(_EVENTS, amounts.events, amounts.users, amounts.clients, timeout=600)
        await connection.execute(_TALLIES, timeout=600)
        for table in _TABLES:
            await connection.execute(f"VACUUM (ANALYZE) {table}", timeout=600)
    finally:
        await connection.close()


_TABLES: Sequence[str] = ("clients", "users", "grants", "audit_events", "tallies")
