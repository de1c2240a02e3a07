"""From one release to the next under load: the code before the newest migration serves beside today's."""

import asyncio
import io
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from tests.faults.clients import crowd
from tests.faults.conftest import RunningBehind
from tests.processes import flow
from tests.support.process import ROOT, run_command


def _git(*arguments: str) -> bytes:
    """What git says of this project's history; without one the test is left out, and says why."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: the release before can't be had.")
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode().strip() or "nothing"
        pytest.skip(
            f"the history of the project is not here (git says: {said}): the release before can't be had."
        )
    return done.stdout


@pytest.fixture
def release_before(tmp_path: Path) -> Path:
    """The project as it was before its newest migration."""
    script = ScriptDirectory(str(ROOT / "migrations"))
    newest = Path(script.get_revision("head").path).relative_to(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest)).decode().strip()
    archive = _git("archive", f"{added}^")
    folder = tmp_path / "before"
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    assert not (folder / newest).exists()
    return folder


async def test_sto_8_replicas_go_from_one_release_to_the_next_and_nobody_notices(
    two: RunningBehind, release_before: Path, tmp_path: Path
) -> None:
    async def revision() -> str:
        async with flow.sql(behind.database_url) as database:
            return str(await database.fetchval("SELECT version_num FROM alembic_version"))

    newest = ScriptDirectory(str(ROOT / "migrations")).get_revision("head")
    with two(root=release_before) as behind:
        assert await revision() == newest.down_revision
        async with crowd(behind) as load:
            await load.until_well()
            done = await asyncio.to_thread(run_command, tmp_path, behind.replicas[0].settings, "migrate")
            assert done.returncode == 0, done.stderr
            assert await revision() == newest.revision
            # The code of before, on the schema of today.
            await load.until_well()
            for number in (0, 1):
                behind.replicas[number].send(signal.SIGTERM)
                await asyncio.to_thread(behind.replicas[number].wait)
                await asyncio.to_thread(behind.replace, number)
                await load.until_found_again()
        assert load.answered("503") == load.answered("502") == load.answered("broken") == 0
        assert load.answered("401") == load.ledger.lost == 0
