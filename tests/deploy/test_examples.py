"""What the examples that no engine here can run promise: read as their engines read them."""

import configparser
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.connections import LimitedConnection
from app.settings import Settings
from tests.deploy.proxies import DEPLOY
from tests.support.process import ROOT

SETTINGS = {name.upper() for name in Settings.model_fields}
KEEP_ALIVE = int(re.findall(r"timeout_keep_alive=(\d+)", (ROOT / "app/cli/serve.py").read_text())[0])


def documents(name: str) -> list[dict[str, Any]]:
    """The YAML documents of an example."""
    return [document for document in yaml.safe_load_all((DEPLOY / name).read_text()) if document]


def kubernetes() -> dict[str, dict[str, Any]]:
    """Every object, by kind and name."""
    files = ("kubernetes/ostiary.yaml", "kubernetes/migrate.yaml", "kubernetes/secret.example.yaml")
    return {f"{each['kind']}/{each['metadata']['name']}": each for file in files for each in documents(file)}


def pod_templates() -> list[Any]:
    """What each pod is made from."""
    objects = kubernetes()
    deployed = objects["Deployment/ostiary"]["spec"]["template"]
    [job] = [each for name, each in objects.items() if name.startswith("Job/")]
    return [pytest.param(deployed, id="deployment"), pytest.param(job["spec"]["template"], id="migration")]


# ------------------------------------------------------------------------------------------ Kubernetes
@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_kubernetes_knows_every_member_of_every_object(version: str) -> None:
    for example in kubernetes().values():
        kubernetes_validate.validate(example, version, strict=True)


def test_a_member_that_kubernetes_does_not_know_would_be_found() -> None:
    misspelt = deepcopy(kubernetes()["Deployment/ostiary"])
    misspelt["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(misspelt, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("template", pod_templates())
def test_a_pod_is_nobody_and_can_write_nothing(template: dict[str, Any]) -> None:
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert container["image"].endswith(f":{__version__}")
        assert {"requests", "limits"} <= container["resources"].keys()
        assert {entry["name"] for entry in container["env"]} <= SETTINGS
        # Secrets come from a Secret, and stand in no manifest.
        assert "SECRET" not in str(container["env"])


def test_a_pod_is_asked_what_it_can_answer_and_may_end_what_runs() -> None:
    deployment = kubernetes()["Deployment/ostiary"]["spec"]
    pod = deployment["template"]["spec"]
    [container] = pod["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    }
    # A database that is away must not restart the process.
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    stops = Settings.model_fields["stop_seconds"].default
    assert pod["terminationGracePeriodSeconds"] > waits + stops + LimitedConnection.drain_seconds
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert kubernetes()["PodDisruptionBudget/ostiary"]["spec"]["minAvailable"] >= 1


def test_the_parts_of_the_cluster_find_one_another() -> None:
    objects = kubernetes()
    labels = objects["Deployment/ostiary"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service/ostiary"]["spec"]["selector"] == labels
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        spec = objects[f"{kind}/ostiary"]["spec"]
        assert spec.get("selector", spec.get("podSelector"))["matchLabels"] == labels
    closed = {
        path["path"]: path["backend"]["service"]["name"]
        for path in objects["Ingress/ostiary"]["spec"]["rules"][0]["http"]["paths"]
    }
    assert closed == {"/metrics": "ostiary-nobody", "/readyz": "ostiary-nobody", "/": "ostiary"}
    assert objects["Service/ostiary-nobody"]["spec"]["selector"] != labels


def test_no_example_holds_a_secret() -> None:
    secret = kubernetes()["Secret/ostiary"]["stringData"]
    assert secret.keys() <= SETTINGS
    assert not any(secret[name] for name in secret if name != "BOOTSTRAP_ADMIN_USERNAME")


# ------------------------------------------------------------------------------------------ Compose
def test_containers_are_read_only_and_wait_for_what_they_need() -> None:
    [compose] = documents("compose.yaml")
    services = compose["services"]
    for name in ("migrate", "one", "two"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["environment"].keys() <= SETTINGS
        assert service["image"].endswith(f":{__version__}")
        assert "ports" not in service, "only the proxy is reached from outside"
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("one", "two"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        seconds = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert seconds > Settings.model_fields["stop_seconds"].default
    [subnet] = compose["networks"]["inside"]["ipam"]["config"]
    assert services["one"]["environment"]["TRUSTED_PROXIES"] == subnet["subnet"]
    # Whoever starts it without the secrets is told so: none has a default.
    for name, value in services["one"]["environment"].items():
        if name in {"SECRET_KEY", "DATABASE_URL", "BOOTSTRAP_ADMIN_PASSWORD", "PUBLIC_URL"}:
            assert ":?}" in value, name


def test_the_proxy_of_compose_is_the_example_that_is_tried() -> None:
    def body(name: str) -> str:
        lines = (DEPLOY / name).read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("#")).strip()

    tried = body("caddy/Caddyfile").replace("mcp.example.com", "{$HOST_NAME}")
    assert body("compose.Caddyfile") == tried.replace("127.0.0.1:8001 127.0.0.1:8002", "one:8000 two:8000")


# ------------------------------------------------------------------------------------------ proxies
def test_every_proxy_closes_idle_connections_before_ostiary_does() -> None:
    said = {
        "nginx/ostiary.conf": r"keepalive_timeout (\d+)s",
        "nginx/prefix.conf": r"keepalive_timeout (\d+)s",
        "caddy/Caddyfile": r"keepalive (\d+)s",
        "caddy/prefix.Caddyfile": r"keepalive (\d+)s",
        "traefik/ostiary.yaml": r"idleConnTimeout: (\d+)s",
    }
    for name, pattern in said.items():
        [seconds] = re.findall(pattern, (DEPLOY / name).read_text())
        assert int(seconds) < KEEP_ALIVE, name


def test_traefik_knows_what_its_routers_name() -> None:
    [traefik] = documents("traefik/ostiary.yaml")
    http = traefik["http"]
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= http["middlewares"].keys()
        assert "tls" in router
    balancer = http["services"]["ostiary"]["loadBalancer"]
    assert balancer["serversTransport"] in http["serversTransports"]
    assert balancer["healthCheck"]["path"] == "/readyz"
    assert "sticky" not in balancer


# ------------------------------------------------------------------------------------------ systemd
def unit() -> configparser.RawConfigParser:
    """The unit; of a name that stands there twice the last counts here."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read_string((DEPLOY / "systemd/ostiary.service").read_text())
    return parser


def test_the_service_runs_as_nobody_and_gets_time_to_end() -> None:
    service = unit()["Service"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert int(service["TimeoutStopSec"]) > Settings.model_fields["stop_seconds"].default
    assert service["ExecStart"].endswith("/ostiary serve")


def test_systemd_understands_the_service(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: the unit is read by systemd only where systemd is.")
    text = (DEPLOY / "systemd/ostiary.service").read_text()
    # It looks whether the program is there.
    copy = tmp_path / "ostiary.service"
    copy.write_text(text.replace("/opt/ostiary/.venv/bin/ostiary serve", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if "ostiary.service" in line]
    assert complaints == []


# ------------------------------------------------------------------------------------------ the image
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in their order."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    pairs = (line.partition(" ") for line in joined.splitlines())
    return [(name, rest.strip()) for name, _, rest in pairs]


def test_the_image_is_nobody_and_says_how_it_is() -> None:
    steps = instructions()
    users = [rest for name, rest in steps if name == "USER"]
    assert [user.isdigit() and int(user) > 0 for user in users] == [True]
    after_user = steps[[name for name, _ in steps].index("USER") :]
    assert all(name not in {"RUN", "COPY", "ADD"} for name, _ in after_user)
    [health] = [rest for name, rest in steps if name == "HEALTHCHECK"]
    assert "/healthz" in health
    assert steps[-1] == ("CMD", '["ostiary", "serve"]')
    assert [name for name, _ in steps].count("FROM") == 2


def test_nothing_secret_can_get_into_a_layer() -> None:
    steps = instructions()
    assert not [name for name, _ in steps if name in {"ARG", "ADD"}]
    named = " ".join(rest for name, rest in steps if name == "ENV")
    assert not [word for word in ("SECRET", "PASSWORD", "DATABASE_URL", "TOKEN") if word in named]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {
        source
        for name, rest in steps
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)
