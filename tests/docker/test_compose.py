"""What docker/ holds, as far as can be judged without a daemon: linters, schemas, and our demands on each service."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from images import ROOT, require

DOCKER = ROOT / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE = sorted(DOCKER.glob("compose*.yaml"))
MAIN = DOCKER / "compose.yaml"
SECRET = re.compile(r"://|password=|secret=|\$\{?\w*(PASSWORD|SECRET|TOKEN|URL)", re.IGNORECASE)


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


SERVICES: dict[str, dict[str, Any]] = loaded(MAIN)["services"]
EVERY = [(path, name, service) for path in COMPOSE for name, service in loaded(path)["services"].items()]
of_every_service = pytest.mark.parametrize("name", SERVICES)


def stages() -> dict[str, str]:
    """Return the text of each stage of the Dockerfile, by the stage's name."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def passes(*words: str) -> None:
    done = subprocess.run([require(words[0]), *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_satisfies_the_linter() -> None:
    passes("hadolint", "--failure-threshold=style", str(DOCKERFILE))


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_have_known_keys_and_types_only(path: Path) -> None:
    passes("check-jsonschema", "--builtin-schema=vendor.compose-spec", str(path))


def test_the_script_satisfies_the_linter() -> None:
    passes("shellcheck", "--severity=style", str(DOCKER / "secrets.sh"))


@of_every_service
def test_a_service_is_nobody_and_writes_where_it_must_only(name: str) -> None:
    service = SERVICES[name]
    assert int(service["user"].split(":")[0]) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}
    assert any(str(mount).startswith("/tmp:") for mount in service["tmpfs"])


@of_every_service
def test_a_service_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert int(service["logging"]["options"]["max-file"]) > 0
    # Workers are known to the store by their beats.
    assert ("test" in service["healthcheck"]) != (name == "worker")


def test_a_worker_has_time_to_keep_its_trial_and_waits_for_the_database() -> None:
    assert SERVICES["worker"]["stop_grace_period"] == "60s"
    for name in ("worker", "dashboard"):
        assert SERVICES[name]["depends_on"]["postgresql"]["condition"] == "service_healthy"


def test_the_image_asks_itself_what_compose_asks_it() -> None:
    instructions = stages()["dashboard"]
    for word in SERVICES["dashboard"]["healthcheck"]["test"]:
        assert word in instructions


@pytest.mark.parametrize(("path", "name", "service"), EVERY, ids=lambda each: getattr(each, "name", None))
def test_images_of_others_are_pinned_and_ours_are_built(path: Path, name: str, service: dict[str, Any]) -> None:
    built = "build" in {**SERVICES[name], **service}
    image = {**SERVICES[name], **service}["image"]
    assert built == image.startswith("sweeps-")
    assert built or re.search(r":\d+\.\d+", image)
    if "dockerfile" in service.get("build", {}):
        assert (path.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert service["build"]["target"] in stages()


def test_the_base_is_pinned() -> None:
    text = DOCKERFILE.read_text()
    assert re.search(r"^ARG BASE=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {"${BASE}", *stages()}


@pytest.mark.parametrize("image", ["dashboard", "worker"])
def test_an_image_is_run_as_nobody_and_gets_its_signals(image: str) -> None:
    text = stages()[image]
    assert re.search(r'^ENTRYPOINT \["tini", "--", "sweeps"\]$', text, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


@pytest.mark.parametrize(("path", "name", "service"), EVERY, ids=lambda each: getattr(each, "name", None))
def test_an_override_takes_no_protection_away_and_no_secret_is_in_an_environment(
    path: Path, name: str, service: dict[str, Any]
) -> None:
    assert path == MAIN or service.keys() <= {"image", "build", "command", "deploy", "secrets", "volumes", "ports"}
    assert name in SERVICES
    for key, value in service.get("environment", {}).items():
        assert not SECRET.search(value), key
        assert key.endswith("_FILE") == value.startswith("/run/secrets/")
    assert not SECRET.search(str(service.get("command", "")))


def test_only_the_proxy_is_for_others_than_this_machine_and_only_with_tls() -> None:
    for path, name, service in EVERY:
        for port in service.get("ports", []):
            local = re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port)
            assert local or (path.name, name) == ("compose.tls.yaml", "proxy"), port
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert not networks["proxy"] & networks["postgresql"]


def test_the_secrets_and_files_that_services_ask_for_are_made_or_there(tmp_path: Path) -> None:
    (tmp_path / "secrets.sh").write_bytes((DOCKER / "secrets.sh").read_bytes())
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True)
    for path in COMPOSE:
        secrets = loaded(path).get("secrets", {})
        for secret in secrets.values() if path == MAIN else ():
            assert (tmp_path / secret["file"]).stat().st_size > 0
        for service in loaded(path)["services"].values():
            assert set(service.get("secrets", [])) <= secrets.keys()
            for mount in service.get("volumes", []):
                outside = mount.split(":")[0]
                assert (DOCKER / outside).exists() if outside.startswith(".") else outside in loaded(MAIN)["volumes"]


def test_secrets_are_closed_to_others_kept_when_made_again_and_nowhere_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(DOCKER / "secrets.sh", tmp_path / name)
    said = [subprocess.run(["sh", tmp_path / name / "secrets.sh"], check=True, capture_output=True, text=True).stdout
            for name in ("one", "two", "one")]  # fmt: skip
    assert (tmp_path / "one" / "secrets").stat().st_mode & 0o777 == 0o700
    first, second = (
        {path.name: path.read_text() for path in (tmp_path / name / "secrets").iterdir()} for name in ("one", "two")
    )
    assert said[2].count("\n") == 1, "nothing is made again"
    assert all(first[name] != second[name] for name in first)
    assert first["sweeps_password"].strip() in first["storage_url"]
    assert not any(content.strip() in text for content in first.values() for text in said)
    assert "secrets/" in (DOCKER / ".gitignore").read_text().splitlines()


def test_a_secret_that_could_not_be_made_is_not_left_empty(tmp_path: Path) -> None:
    (tmp_path / "openssl").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "openssl").chmod(0o755)
    shutil.copy(DOCKER / "secrets.sh", tmp_path)
    words = ["sh", str(tmp_path / "secrets.sh")]
    done = subprocess.run(words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "openssl failed" in done.stderr
    assert not [path for path in (tmp_path / "secrets").iterdir() if not path.name.startswith(".")]


def test_images_install_what_the_project_asks_for_and_the_dashboard_no_tensorflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert not [need for need in project["dependencies"] if re.match("tensorflow|keras", need)]
    assert [need for need in extras["train"] if need.startswith("tensorflow")]
    for stage, trains in (("light", False), ("worker", True)):
        (asked,) = re.findall(r'constraints\.txt "\.\[(.*)\]"', stages()[stage])
        names = set(asked.replace("$needs", "train,gpu").split(","))
        assert names <= extras.keys()
        assert ("train" in names) == trains
    assert re.search(r"^FROM light AS dashboard$", DOCKERFILE.read_text(), re.MULTILINE)


def test_only_what_images_are_made_from_is_sent_to_the_builder() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert patterns[0] == "*"
    lines = re.findall(r"^COPY (.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    copied = {word for line in lines for word in line.split()}
    sent = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert {word for word in copied if Path(word).parent.as_posix() not in sent} == sent
