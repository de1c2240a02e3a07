"""The OpenAPI description tells the truth, and nothing that is generated from it or against it breaks the server."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.routers.description import OPERATIONS
from app.settings import Settings
from tests.support.process import ServerProcess, running_server, settings_on
from tests.support.world import SECRET_KEY

pytest_plugins = ["tests.standing"]

_sources = itertools.count()
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_operation_is_described() -> None:
    app = create_app(Settings(_env_file=None, secret_key=SECRET_KEY))
    paths = app.openapi()["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == set(OPERATIONS)


@pytest.fixture(scope="module")
def server(standing_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server, on each database."""
    folder = tmp_path_factory.mktemp("described")
    with running_server(folder, settings_on(standing_url)) as running:
        yield running
        assert "Traceback" not in running.err


@pytest.fixture(scope="module")
def description(server: ServerProcess) -> Any:
    """What it says of itself."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def cases() -> Iterator[Any]:
    """What fits the description for every operation, and what does not where that can be."""
    for (method, path), operation in sorted(OPERATIONS.items()):
        yield pytest.param(method, path, GenerationMode.POSITIVE, id=f"{method} {path}")
        if operation.required or operation.body:
            yield pytest.param(
                method, path, GenerationMode.NEGATIVE, id=f"{method} {path}, what does not fit"
            )


@pytest.mark.parametrize(("method", "path", "mode"), list(cases()))
def test_nothing_that_is_generated_breaks_it(
    description: Any, method: str, path: str, mode: GenerationMode
) -> None:
    @given(case=description[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        # Each from another address: the limits, which have their own tests, must not hide what lies behind them.
        number = next(_sources)
        address = f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"
        case.call_and_validate(checks=_CHECKS, headers={"X-Forwarded-For": address}, allow_redirects=False)

    send()
