"""An authenticator in software (WebAuthn Level 3): makes passkeys and signs with them, right or wrong as told."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, RECOGNISED, MAY_BE_BACKED_UP, BACKED_UP, HAS_KEY = 1, 4, 8, 16, 64


def to_text(value: bytes) -> str:
    """Bytes in base64url."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """What base64url stands for."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One key. What a test changes is what this authenticator, or the page around it, does wrong."""

    origin: str = "http://localhost:8000"
    flags: int = PRESENT | RECOGNISED
    counts: bool = True
    sign_count: int = 0
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    user_handle: str | None = None
    client_data: Mapping[str, Any] = field(default_factory=dict)

    def create(self, options: Mapping[str, Any], *, attestation: Mapping[str, Any] | None = None) -> str:
        """The browser's answer to `navigator.credentials.create()`, in JSON."""
        self.user_handle = options["user"]["id"]
        data = self._data(options["rp"]["id"], HAS_KEY) + self._attested()
        statement = {"fmt": "none", "attStmt": {}, "authData": data, **(attestation or {})}
        return self._answer(
            {
                "clientDataJSON": to_text(self._client("webauthn.create", options["challenge"])),
                "attestationObject": to_text(cbor2.dumps(statement)),
                "transports": ["internal", "hybrid"],
            }
        )

    def get(self, options: Mapping[str, Any]) -> str:
        """The browser's answer to `navigator.credentials.get()`, in JSON."""
        self.sign_count += self.counts
        data = self._data(options["rpId"])
        client = self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": to_text(client),
            "authenticatorData": to_text(data),
            "signature": to_text(signature),
        }
        if self.user_handle is not None:
            response["userHandle"] = self.user_handle
        return self._answer(response)

    def _answer(self, response: Mapping[str, Any]) -> str:
        credential_id = to_text(self.credential_id)
        return json.dumps(
            {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps({**told, **self.client_data}).encode()

    def _data(self, rp_id: str, more: int = 0) -> bytes:
        host = hashlib.sha256(rp_id.encode()).digest()
        return host + bytes([self.flags | more]) + self.sign_count.to_bytes(4, "big")

    def _attested(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        length = len(self.credential_id).to_bytes(2, "big")
        return bytes(16) + length + self.credential_id + cbor2.dumps(key)
