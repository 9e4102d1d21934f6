"""The chart and the Compose file, rendered, held to the schemas of what reads them and to what netreach itself would say of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot import __version__
from bot.render import helm_child
from bot.server import settings

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "netreach"
LEAST: dict[str, Any] = {"app": {"id": 4711}}
WHOLE: dict[str, Any] = {
    "app": {"id": "4711", "webhookSecretOld": True, "env": {"NETREACH_CACHE_MB": 5000}},
    "image": {"digest": f"sha256:{'a' * 64}"},
    "database": {"bundled": {"enabled": True}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "netreach-tls", "annotations": {"a": "b"}},
    "admission": {"enabled": True, "certManagerIssuer": "ca", "cilium": True},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
}
OUTSIDE: dict[str, Any] = {
    "app": {"id": 4711},
    "admission": {"enabled": True, "tlsSecret": "own", "caBundle": "Q0E=", "failurePolicy": "Fail"},
    "networkPolicy": {"databaseCidrs": ["10.1.2.3/32"]},
}
VALUES = {"least": LEAST, "whole": WHOLE, "outside": OUTSIDE}
SERVER_SIDE = {"cert-manager.io/v1"}  # kinds of others: not in Kubernetes' own schemas


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    pytest.importorskip("helm_python")
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    asked = {"chart": str(CHART), "values": [str(file)], "parameters": [], "release": "netreach", "namespace": "review"}
    done = subprocess.run(
        [sys.executable, helm_child.__file__], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    out = []
    for name, text in json.loads(done.stdout).items():
        if name.endswith(".yaml"):
            out += [one for one in yaml.safe_load_all(text) if one]
    return out


@pytest.fixture(scope="module", params=VALUES, ids=str)
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    yield rendered(VALUES[request.param], tmp_path_factory.mktemp("values"))


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["spec"]["template"] for one in objects if one["kind"] in ("Deployment", "StatefulSet")]


def test_versions_are_the_package_s():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert COMPOSE["services"]["serve"]["image"] == f"netreach:{__version__}"


def test_valid_for_kubernetes(objects: list[dict[str, Any]]):
    validate = pytest.importorskip("kubernetes_validate")
    for one in objects:
        if one["apiVersion"] not in SERVER_SIDE:
            validate.validate(one, "1.31", strict=True)


def test_pods_may_do_nothing(objects: list[dict[str, Any]]):
    assert len(pods(objects)) >= 2
    for pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}  # fmt: skip
            assert container["resources"]["limits"]["memory"]
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            known = {volume["name"] for volume in spec["volumes"]} | {"cache", "data"}
            assert mounts <= known


def test_every_variable_is_one(objects: list[dict[str, Any]], tmp_path: Path):
    known = Path(settings.__file__).read_text(encoding="utf-8")
    for pod in pods(objects):
        for container in pod["spec"]["containers"]:
            for variable in container["env"]:
                name = variable["name"].removesuffix("_FILE")
                assert not name.startswith("NETREACH_") or f'"{name}' in known, name


def test_netreach_has_nothing_against_it(objects: list[dict[str, Any]], tmp_path: Path):
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bot", "lint", "--format", "json", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["findings"]
    assert [row for row in found if row["severity"] != "info"] == []


def test_who_reaches_what(tmp_path: Path):
    objects = rendered(WHOLE, tmp_path)
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bot", "list", "--format", "json", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = {(row["from"], row["to"]): row["ports"] for row in json.loads(done.stdout)["paths"]}
    serve, worker, database = "review/netreach", "review/netreach-worker", "review/netreach-database"
    sql = [{"protocol": "TCP", "from": 5432, "to": 5432}]
    assert paths[(serve, database)][0] | sql[0] == paths[(worker, database)][0] | sql[0]
    assert not any(target == database for source, target in paths if source not in (serve, worker))
    assert not any(source == database for source, _ in paths)
    assert (serve, worker) not in paths
    assert (worker, serve) not in paths


def test_values_that_are_wrong(tmp_path: Path):
    for values in ({}, {"app": {"id": ""}}, WHOLE | {"admission": {"enabled": True}}):
        with pytest.raises(AssertionError):
            rendered(values, tmp_path)


def test_webhook_configuration(tmp_path: Path):
    (hook,) = [one for one in rendered(OUTSIDE, tmp_path) if one["kind"] == "ValidatingWebhookConfiguration"]
    (one,) = hook["webhooks"]
    assert (one["failurePolicy"], one["sideEffects"], one["clientConfig"]["caBundle"]) == ("Fail", "None", "Q0E=")
    assert one["clientConfig"]["service"]["path"] == "/admission/validate"


COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_compose_services_may_do_nothing(name: str):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["command"] == ["app", name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_names_what_there_is():
    known = Path(settings.__file__).read_text(encoding="utf-8")
    for service in COMPOSE["services"].values():
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert {row.partition(":")[0] for row in service["volumes"]} <= COMPOSE["volumes"].keys()
        assert set(service.get("depends_on", {})) <= COMPOSE["services"].keys()
        for variable in service["environment"]:
            assert not variable.startswith("NETREACH_") or f'"{variable.removesuffix("_FILE")}' in known
    assert COMPOSE["services"]["database"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
