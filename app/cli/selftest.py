"""`ostiary selftest URL`"""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.doctor import AuthoritiesOption, UrlArgument, read_target
from app.cli.output import JsonOption, refuse, show_one, show_rows
from app.clock import SystemClock
from app.selftest.trial import NothingToTry, Trial, run_trial


def selftest(
    url: UrlArgument,
    token: Annotated[
        str | None,
        typer.Option(envvar="SELFTEST_TOKEN", help="A valid access token for the endpoint, for more cases."),
    ] = None,
    foreign_token: Annotated[
        str | None,
        typer.Option(envvar="SELFTEST_FOREIGN_TOKEN", help="A token for another resource, to be refused."),
    ] = None,
    authorities: AuthoritiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try on a live server that wrong things are refused; it signs in nowhere, and removes what it registers."""
    reach = read_target(url, authorities)
    try:
        trial = asyncio.run(run_trial(reach, url, SystemClock().now(), token, foreign_token))
    except NothingToTry as error:
        refuse(str(error))
    _show(trial, as_json)
    if trial.failed:
        raise typer.Exit(1)


def _show(trial: Trial, as_json: bool) -> None:
    rows = [asdict(outcome) for outcome in trial.outcomes]
    if as_json:
        shown = {"url": trial.url, "failed": trial.failed, "left_behind": trial.left, "cases": rows}
        show_one(shown, as_json=True)
        return
    show_rows(rows, ["row", "sent", "expected", "status", "found"], as_json=False)
    counts = {status: sum(row["status"] == status for row in rows) for status in ("ok", "fail", "skip")}
    typer.echo(f"\n{counts['ok']} as they should be, {counts['fail']} not, {counts['skip']} not tried.")
    if trial.left:
        typer.echo(f"Clients that could not be removed: {', '.join(trial.left)}")
