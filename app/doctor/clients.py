"""How far each client gets."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.doctor.finding import (
    CHATGPT,
    CLAUDE,
    CURSOR,
    EVERYONE,
    INSPECTOR,
    STEPS,
    VS_CODE,
    Finding,
    Verdict,
)

_REDIRECT_URIS: Mapping[str, Sequence[str]] = {
    CLAUDE: ["https://claude.ai/api/mcp/auth_callback"],
    CHATGPT: ["https://chatgpt.com/connector_platform_oauth_redirect"],
    CURSOR: [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ],
    VS_CODE: ["http://127.0.0.1:33418/", "http://127.0.0.1/", "https://vscode.dev/redirect"],
    INSPECTOR: ["http://localhost:6274/oauth/callback"],
}
# What stands in the User-Agent, as far as it is known.
USER_AGENTS: Mapping[str, str] = {
    CLAUDE: "Claude-User",
    CHATGPT: "openai-mcp/1.0.0",
    CURSOR: "node",
    VS_CODE: "node",
    INSPECTOR: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
}


def metadata_of(client: str) -> Mapping[str, Any]:
    """What a client registers with, under a name that tells who really did."""
    return {
        "client_name": f"ostiary doctor, as {client}",
        "redirect_uris": list(_REDIRECT_URIS[client]),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def verdicts(findings: Sequence[Finding]) -> Sequence[Verdict]:
    """Where each client stops, or that it connects."""
    return [_verdict(client, findings) for client in EVERYONE]


def _verdict(client: str, findings: Sequence[Finding]) -> Verdict:
    for number, step in enumerate(STEPS, 1):
        for finding in findings:
            if finding.step == step and client in finding.stops:
                words = f"stops at step {number} ({step}): {finding.found}"
                return Verdict(client, False, number, words)
    return Verdict(client, True, None, "connects, as far as can be seen from outside")
