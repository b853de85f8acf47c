"""The manifests: built by kustomize, held against Kubernetes' schemas, and against each other."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dacycle.cycler.config_file import load_config
from tests.tools import require_tool

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "dask")
CUSTOM = {"ServiceMonitor"}
"""Kinds that are no part of Kubernetes: their schemas are the operators' that define them."""


def ran(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def all_built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every overlay, as it would be applied."""
    folder, kubectl = tmp_path_factory.mktemp("built"), require_tool("kubectl")
    for name in OVERLAYS:
        (folder / f"{name}.yaml").write_text(ran(kubectl, "kustomize", str(KUBERNETES / "overlays" / name)))
    return {name: folder / f"{name}.yaml" for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def built(request: pytest.FixtureRequest, all_built: dict[str, Path]) -> Path:
    """One of them."""
    return all_built[request.param]


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pods(path: Path) -> list[dict[str, Any]]:
    return [each["spec"]["template"] for each in objects(path) if "template" in each.get("spec", {})]


def test_every_object_fits_its_schema(all_built: dict[str, Path]) -> None:
    told = ran(require_tool("kubernetes-validate"), "--strict", *map(str, all_built.values())).splitlines()
    unchecked = [line for line in told if "passed for resource" not in line]
    assert len(told) - len(unchecked) == sum(len(objects(path)) - len(CUSTOM) for path in all_built.values())
    assert all("Couldn't find schema for kind ServiceMonitor" in line for line in unchecked)


def test_validation_would_find_a_misspelt_key(all_built: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    [each] = [each for each in objects(all_built["cpu"]) if each["kind"] == "PodDisruptionBudget"]
    each["spec"]["maxUnavailabel"] = 1
    broken.write_text(yaml.safe_dump(each))
    command = [require_tool("kubernetes-validate"), "--strict", str(broken)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_yaml_is_tidy() -> None:
    assert ran(require_tool("yamllint"), "--strict", "-c", str(KUBERNETES / ".yamllint"), str(KUBERNETES)) == ""


def test_every_pod_is_as_unprivileged_as_the_namespace_asks(built: Path) -> None:
    for pod in pods(built):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()
            assert container["image"].startswith("registry.example.org/dacycle:")


def test_selectors_meet_the_pods_they_mean(built: Path) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(built)]
    for each in objects(built):
        spec = each.get("spec", {})
        selector = {"Service": spec.get("selector"), "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels")}
        wanted = selector.get(each["kind"]) or spec.get("selector", {}).get("matchLabels", {})
        if each["kind"] in ("Service", "NetworkPolicy", "PodDisruptionBudget", "StatefulSet", "Deployment") and wanted:
            meant = [found for found in labels if wanted.items() <= found.items()]
            assert len(meant) == 1, each["metadata"]["name"]
    [monitor] = [each for each in objects(built) if each["kind"] == "ServiceMonitor"]
    services = [each for each in objects(built) if each["kind"] == "Service"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    [service] = [each for each in services if wanted.items() <= each["metadata"]["labels"].items()]
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_configuration_is_one_that_the_daemon_takes(built: Path, tmp_path: Path) -> None:
    [data] = [each["data"] for each in objects(built) if each["kind"] == "ConfigMap"]
    [daemon] = [each["spec"]["template"]["spec"] for each in objects(built) if each["kind"] == "StatefulSet"]
    path = tmp_path / "dacycle.toml"
    path.write_text(data["dacycle.toml"])
    environment = {each["name"]: each["value"] for each in daemon["containers"][0].get("env", [])}
    config = load_config(path, environment)
    assert daemon["terminationGracePeriodSeconds"] > config.service.stop_seconds + 30
    mounts = {mount["name"]: mount["mountPath"] for mount in daemon["containers"][0]["volumeMounts"]}
    assert config.paths.state.is_relative_to(mounts["state"])
    assert daemon["containers"][0]["ports"][0]["containerPort"] == config.service.port
    if config.ensemble.executor == "dask":
        services = {each["metadata"]["name"]: each["spec"] for each in objects(built) if each["kind"] == "Service"}
        assert config.ensemble.address is not None
        name, port = config.ensemble.address.removeprefix("tcp://").split(":")
        assert int(port) in {each["port"] for each in services[name]["ports"]}


def test_commands_of_the_dask_overlay_exist() -> None:
    """Their options are those of the dask that is pinned."""
    path = KUBERNETES / "overlays" / "dask"
    dask = require_tool("dask")
    for name, program in (("scheduler.yaml", "scheduler"), ("workers.yaml", "worker")):
        [container] = [
            each["spec"]["template"]["spec"]["containers"][0]
            for each in yaml.safe_load_all((path / name).read_text())
            if each["kind"] == "Deployment"
        ]
        assert container["command"][:4] == ["tini", "--", "dask", program]
        known = ran(dask, program, "--help")
        for argument in container["args"]:
            if argument.startswith("--"):
                assert argument.split("=")[0] in known


def test_dockerfile_is_tidy() -> None:
    container = ROOT / "deploy" / "container"
    assert ran(require_tool("hadolint"), str(container / "Dockerfile")) == ""
    assert ran("sh", "-n", str(container / "install.sh")) == ""


def test_healthcheck_of_the_image_is_a_program() -> None:
    text = (ROOT / "deploy" / "container" / "Dockerfile").read_text()
    code = text.split('"-c", "', 1)[1].split('"]', 1)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    if done.returncode:
        assert "Connection refused" in done.stderr
