"""`ostiary doctor` against `ostiary serve`: a server as an operator starts it is well, and nothing stays behind."""

import json
from pathlib import Path

from tests.processes import flow
from tests.support.process import run_command, running_server, settings_on
from tests.support.world import forms_of


def test_a_server_of_ours_is_well_and_keeps_no_client(tmp_path: Path) -> None:
    settings = settings_on(f"sqlite+aiosqlite:///{tmp_path}/ostiary.db")
    with running_server(tmp_path, settings) as server:
        asked = run_command(tmp_path, {}, "doctor", server.resource, "--register", "--json")
        clients = run_command(tmp_path, server.settings, "clients", "list", "--all", "--json")

    told = json.loads(asked.stdout)
    faults = {each["check"]: each["found"] for each in told["checks"] if each["status"] != "ok"}
    # On loopback there is neither a certificate nor a way for clients from afar.
    assert set(faults) == {"public", "certificate"}, faults
    assert (asked.returncode, told["broken"]) == (0, False)
    assert {each["client"] for each in told["clients"] if each["connects"]} == {
        "Cursor",
        "VS Code",
        "MCP Inspector",
    }
    assert json.loads(clients.stdout) == []


async def test_a_server_examines_itself_on_its_page(tmp_path: Path) -> None:
    """With one process and SQLite: it answers its own questions while the page waits for them."""
    settings = settings_on(f"sqlite+aiosqlite:///{tmp_path}/ostiary.db")
    with running_server(tmp_path, settings) as server:
        async with flow.new_browser() as browser:
            await flow.sign_in(browser, server)
            page = await browser.get(f"{server.url}/admin/doctor")
            form = next(form for form in forms_of(page.text) if form.action == "/admin/doctor")
            data = {**form.fields, "register": "yes"}
            answer = await browser.post(f"{server.url}/admin/doctor", data=data)

    assert answer.status_code == 200
    assert answer.text.count("connects, as far as can be seen") == 3
    assert answer.text.count("It made a client and removed it again.") == 5
