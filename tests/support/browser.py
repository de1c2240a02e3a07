"""A real browser: one that is installed, else one that is fetched, else one sentence that says why not."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The sandbox needs privileges that containers lack; the rest keeps it from talking to anyone but us.
LAUNCH_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# Where Playwright keeps what it downloads, below its own folder, on Linux and macOS.
DOWNLOADS = ("chromium-*/chrome-*/chrome", "chromium-*/chrome-*/*.app/Contents/MacOS/*")
ANSWER_SECONDS = 30
FETCH_SECONDS = 600
NONE_FOUND = (
    "No Chromium or Chrome was found, and neither Playwright nor apt-get could fetch one: "
    "install one, or set CHROMIUM to its path."
)


@dataclass(frozen=True)
class Browser:
    """The executable, or None; `reason` says in one sentence where it comes from or why there is none."""

    path: Path | None
    reason: str


@functools.cache
def find_browser() -> Browser:
    """Looked for, and fetched if need be, once a run."""
    named = os.environ.get("CHROMIUM")
    if named:
        if _answers(Path(named)):
            return Browser(Path(named), "CHROMIUM names it.")
        return Browser(None, f"CHROMIUM names {named}, which does not start.")
    for fetch, reason in (
        (None, "It is installed."),
        (_fetch_with_playwright, "Playwright fetched it."),
        (_fetch_with_apt, "It was installed from the system's packages."),
    ):
        if fetch is not None:
            fetch()
        for path in _installed():
            if _answers(path):
                return Browser(path, reason)
    return Browser(None, NONE_FOUND)


def _installed() -> Iterator[Path]:
    for name in NAMES:
        if found := shutil.which(name):
            yield Path(found)
    yield from (path for path in map(Path, APPLICATIONS) if path.exists())
    for pattern in DOWNLOADS:
        yield from sorted(_playwright_folder().glob(pattern), reverse=True)


def _playwright_folder() -> Path:
    given = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if given and given != "0":
        return Path(given)
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path("~").expanduser() / caches / "ms-playwright"


def _answers(path: Path) -> bool:
    """Whether it starts at all: a stub of a distribution, or a download without its libraries, does not."""
    return _succeeds([str(path), "--version"], ANSWER_SECONDS)


def _fetch_with_playwright() -> None:
    if importlib.util.find_spec("playwright") is not None:
        _succeeds([sys.executable, "-m", "playwright", "install", "chromium"], FETCH_SECONDS)


def _fetch_with_apt() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"]
    if not _succeeds(install, FETCH_SECONDS) and _succeeds(["apt-get", "-qq", "update"], FETCH_SECONDS):
        _succeeds(install, FETCH_SECONDS)


def _succeeds(command: list[str], seconds: float) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
