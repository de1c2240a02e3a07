"""The log as an operator gets it, for one test: `pytest_plugins = ["tests.logged_fixtures"]`."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from app import logs
from tests.logged import Configure


@pytest.fixture
def configured(capsys: pytest.CaptureFixture[str]) -> Iterator[Configure]:
    """`logs.configure`, undone afterwards."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    names = ("", "app", *logs.TALKATIVE, *logs.TELLING)
    levels = {name: logging.getLogger(name).level for name in names}
    yield logs.configure
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
