"""`ostiary doctor URL`"""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from app.authorization_server.document_fetcher import Egress
from app.authorization_server.guarded_backend import GuardedBackend
from app.authorization_server.public_addresses import is_public
from app.cli.output import JsonOption, show_one, show_rows
from app.clock import SystemClock
from app.doctor.examination import Examination, examine
from app.visitor import Reach, is_endpoint_url, reach_with, resolve

UrlArgument = Annotated[str, typer.Argument(help="Of the MCP endpoint, as people give it to their clients.")]
AuthoritiesOption = Annotated[
    Path | None, typer.Option("--ca-file", help="Certificates (PEM) of authorities to trust besides.")
]


def doctor(
    url: UrlArgument,
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="Also register as each client does; the clients are removed where that is offered.",
        ),
    ] = False,
    authorities: AuthoritiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk the way of MCP clients to any server, from here, and name the step that is broken."""
    reach = read_target(url, authorities)
    examination = asyncio.run(examine(reach, url, SystemClock().now(), register=register))
    _show(examination, as_json)
    if examination.broken:
        raise typer.Exit(1)


def read_target(url: str, authorities: Path | None) -> Reach:
    """How the server at this URL is reached.

    Raises:
        typer.BadParameter: the URL is none that can be asked, or the certificates can't be read.
    """
    if not is_endpoint_url(url):
        raise typer.BadParameter(
            "The URL must be an absolute http or https one, without query and user name."
        )
    try:
        reach = reach_with(authorities)
    except OSError:
        raise typer.BadParameter(f"{authorities} holds no certificates in PEM form.") from None
    # What a server says of itself leads on to other addresses. One on the public internet has no business with those
    # that only this machine reaches, and its clients could not ask there either.
    return reach if _is_inside(url) else replace(reach, backend=GuardedBackend(Egress(tls=reach.tls)))


def _is_inside(url: str) -> bool:
    try:
        addresses = asyncio.run(resolve(urlsplit(url).hostname or "", 0))
    except (OSError, UnicodeError):
        return False
    return not all(map(is_public, addresses))


def _show(examination: Examination, as_json: bool) -> None:
    if as_json:
        shown = {
            "url": examination.url,
            "broken": examination.broken,
            "clients": [asdict(verdict) for verdict in examination.verdicts],
            "checks": [asdict(finding) for finding in examination.findings],
        }
        show_one(shown, as_json=True)
        return
    rows = [asdict(finding) for finding in examination.findings]
    show_rows(rows, ["step", "check", "status", "found"], as_json=False)
    faulty = [
        {"check": f"{finding.check} ({finding.status})", "why_it_matters": finding.why, "mend": finding.mend}
        for finding in examination.findings
        if finding.mend
    ]
    if faulty:
        typer.echo()
        show_rows(faulty, ["check", "why_it_matters", "mend"], as_json=False)
    typer.echo()
    show_rows([asdict(verdict) for verdict in examination.verdicts], ["client", "words"], as_json=False)
