"""What of the cluster deployment can be checked without a cluster: names that must agree, settings that must exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from arena_etl import config as configuration
from arena_etl.training.launch import pod_job

INFRA = Path(__file__).parents[2] / "infra"
CONFIGS = sorted(INFRA.glob("*/arena-etl.yaml"))
IMAGES = sorted(INFRA.glob("images/*.Dockerfile"))


def read(name: str) -> Any:
    return yaml.safe_load((INFRA / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = read("compose/compose.yaml")
    return document


def variables(document: Any) -> Iterator[str]:
    """Airflow's settings by environment, wherever they stand."""
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(key, str) and key.startswith("AIRFLOW__"):
                yield key
            yield from variables(value)
    if isinstance(document, list):
        for each in document:
            yield from variables(each)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.parent.name)
def test_a_configuration_loads_and_names_what_is_there(file: Path) -> None:
    config = configuration.load(file)
    assert config.root.startswith("s3://")
    assert config.target.backend in ("transformers", "vllm"), "what is trained must answer from its weights"


def test_every_setting_of_airflow_is_one(compose: dict[str, Any]) -> None:
    from airflow.configuration import conf

    named = set(variables(compose)) | set(re.findall(r"AIRFLOW__\w+", (INFRA / IMAGES[0]).read_text(encoding="utf-8")))
    assert len(named) > 8
    sections = conf.configuration_description.items()
    known = {(name.upper(), key.upper()) for name, section in sections for key in section["options"]}
    for name in named - {
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__CELERY__RESULT_BACKEND",
    }:  # of a provider, not installed here
        _, section, key = name.split("__", 2)
        assert (section, key) in known, f"Airflow has no setting {name}"


def test_services_wait_for_services_that_exist_and_volumes_are_declared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in services, f"{name} waits for {other}"
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (INFRA / "compose" / source).is_file(), f"{name} mounts {source}"
            else:
                assert source in compose["volumes"], f"{name} mounts {source}"


def test_all_parts_of_airflow_are_there(compose: dict[str, Any]) -> None:
    commands = {str(service.get("command")) for service in compose["services"].values()}
    assert {"api-server", "scheduler", "dag-processor", "triggerer", "celery worker"} <= commands


def test_models_that_are_asked_are_served(compose: dict[str, Any]) -> None:
    config = configuration.load(INFRA / "compose/arena-etl.yaml")
    for model in (*config.rivals, config.judge):
        if model.backend == "openai":
            [url] = model.base_urls
            service = compose["services"][re.fullmatch(r"http://([a-z0-9-]+):8000/v1", url)[1]]  # type: ignore[index]
            assert f"--model {model.checkpoint} " in f"{service['command']} "
    assert config.s3_endpoint == "http://s3:9000"


def test_every_secret_comes_from_the_environment_and_is_asked_for(compose: dict[str, Any]) -> None:
    text = (INFRA / "compose/compose.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{(\w+)", text))
    assert wanted == set(re.findall(r"\$\{(\w+):\?", text)), "a secret with a default would be forgotten"
    example = (INFRA / "compose/example.env").read_text(encoding="utf-8")
    assert wanted == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))


@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.stem)
def test_an_image_copies_what_is_there_and_installs_extras_that_exist(file: Path) -> None:
    import tomllib

    root = INFRA.parent
    text = file.read_text(encoding="utf-8")
    sent = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?:--chown=\S+ )?(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (root / source).exists(), source
            assert source.split("/")[0] in sent, f"{source} is not sent to the builder"
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"arena-etl\[([a-z,]+)\]|^ARG EXTRAS=(.+)$", text, re.MULTILINE)
    assert {extra for pair in named for extra in "".join(pair).split(",")} <= extras.keys()
    bundled = re.findall(r'^"?(\w+)"? = "arena_etl/_resources/', (root / "pyproject.toml").read_text(), re.MULTILINE)
    assert bundled and all(f"COPY --chown=airflow:0 {name} " in text or f"COPY {name} " in text for name in bundled)


def test_the_training_pod_is_what_kubernetes_expects() -> None:
    config = configuration.load(INFRA / "helm/arena-etl.yaml")
    spec = pod_job(config, "0123", ["s3://x"])["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    config_file = container["command"][container["command"].index("--config_file") + 1]
    assert (INFRA.parent / config_file.lstrip("/")).is_file()
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in spec["volumes"]}


def test_pods_of_tasks_mount_what_the_chart_mounts() -> None:
    values, pod = read("helm/values.yaml"), read("helm/gpu-pod.yaml")
    [container] = pod["spec"]["containers"]
    assert container["name"] == "base"
    assert container["image"] == ":".join(values["images"]["airflow"].values())
    assert {(e["name"], e["value"]) for e in values["env"]} <= {(e["name"], e["value"]) for e in container["env"]}
    assert values["volumeMounts"][0] in container["volumeMounts"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }
    config = configuration.load(INFRA / "helm/arena-etl.yaml")
    assert config.gpu_pod_template == f"{container['volumeMounts'][0]['mountPath']}/gpu-pod.yaml"


def test_service_accounts_have_a_role_each() -> None:
    text = (INFRA / "terraform/main.tf").read_text(encoding="utf-8")
    accounts = set(re.findall(r'account = "([a-z-]+)"', text))
    config, values = configuration.load(INFRA / "helm/arena-etl.yaml"), read("helm/values.yaml")
    assert config.launch.pod["serviceAccountName"] in accounts
    assert values["workers"]["serviceAccount"]["name"] in accounts
    assert (
        config.root.rpartition("/")[2]
        == re.search(r'default\s+= "(\w+)"', (INFRA / "terraform/variables.tf").read_text())[1]
    )  # type: ignore[index]


def test_terraform_declares_what_it_uses() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in (INFRA / "terraform").glob("*.tf")}
    declared = set(re.findall(r'^variable "(\w+)"', texts["variables.tf"], re.MULTILINE))
    assert set(re.findall(r"var\.(\w+)", texts["main.tf"] + texts["outputs.tf"])) == declared
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', texts["main.tf"], re.MULTILINE))
    for kind, name in re.findall(r"\b(aws_\w+)\.(\w+)[.\[]", "".join(texts.values())):
        assert (kind, name) in resources or f'data "{kind}" "{name}"' in texts["main.tf"], f"{kind}.{name}"
    assert "s3:*" not in texts["main.tf"]
