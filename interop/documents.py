"""A host on this computer that publishes metadata documents of apps over TLS, under an authority made for the run."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.internet import certificates


@dataclass
class DocumentHost:
    """What is published at which path, who asked for it, and the file of the authority that vouches for the host."""

    authority: Path
    port: int = 0
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, path: str, name: str, redirect_uri: str) -> str:
        """Publish the document of a public app; returns its address, which is the app's client id."""
        url = f"https://localhost:{self.port}{path}"
        self.documents[path] = {
            "client_id": url,
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        return url


@contextmanager
def running_host(folder: Path) -> Iterator[DocumentHost]:
    """The host, on a free port."""
    authority, certificate, key = certificates()
    host = DocumentHost(folder / "authority.pem")
    host.authority.write_text(authority)
    own = folder / "host.pem"
    own.write_text(certificate + key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            document = host.documents.get(self.path)
            body = json.dumps(document or {}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Who asked stands in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
