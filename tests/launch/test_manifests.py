"""Manifests: what the options ask for is what Kubernetes is told, in a form that its own readers take."""

import base64
import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import servers
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_rules import expanded, problems
from kubernetes_validate.utils import all_versions

from sweeps.cli import launch
from sweeps.errors import InputError
from sweeps.launch.job import Job
from sweeps.launch.kubernetes.manifest import escape_variables, make_manifest
from sweeps.launch.kubernetes.manifest_files import kubectl_manifest, to_yaml, write_kustomize_base
from sweeps.launch.kubernetes.pod_options import Access, Placement, PodOptions, WorkerResources

STORE = "postgresql+psycopg://me:***@db.example/sweeps"
POOL = Job((), STORE, 4, 1)
ODD = [
    *(
        "-x",
        "--pool",
        "it's",
        'a"b',
        "a\nb",
        "$(HOME)",
        "$$(HOME)",
        "$$",
        "$",
        "é",
        "😀",
        "1e3",
        "0o14",
        "y",
        "null",
        "~",
    ),
    *(
        "a: b",
        "#",
        " a ",
        "- a",
        "\t",
        "\x07",
        "\x85",
        "\u2028",
        "\ufeff",
        "%",
        "`id`",
        "${HOME}",
        "a\\",
        "{}",
        "=",
        "1:30",
    ),
]
EVERYTHING = PodOptions(
    "registry.example:5000/group/sweeps@sha256:0123",
    "research",
    "/checkpoints/$(sweeps)",
    ("shared:/checkpoints", "shared:/again:ro", "imagenet.v1:/data/:ro"),
    ("kueue.x-k8s.io/queue-name=gpus",),
    WorkerResources(3, "6Gi", "nvidia.com/mig-1g.10gb"),
    Placement(
        ("gpu.type=h100", "zone="),
        ("nvidia.com/gpu=present:NoSchedule", "spot", "dedicated=", "old:NoExecute"),
        "low",
        True,
    ),
    Access("storage", ("keys", "more.keys"), ("registry",), "trainer", "20034:500"),
    True,
)
ASKED = {
    "pool": (POOL, PodOptions("sweeps:1")),
    "one worker": (Job(("a",), STORE, 1, 4), PodOptions("sweeps")),
    "uneven": (Job(("a", *ODD), STORE, 5, 2), PodOptions("sweeps:1", artifacts="gs://bucket/prefix")),
    "processors": (Job(("a",), STORE, 3, 0), PodOptions("sweeps:1", artifacts="s3://bucket")),
    "everything": (Job(("a",), STORE, 7, 3), EVERYTHING),
}
each_asked = pytest.mark.parametrize(("job", "options"), ASKED.values(), ids=ASKED)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def pod(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


def container(document: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod(document)["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("version", all_versions()[-3:])
@each_asked
def test_the_schema_of_the_newest_versions_takes_it(job: Job, options: PodOptions, version: str) -> None:
    for document in (make_manifest(job, options), yaml.safe_load(kubectl_manifest(job, options))):
        assert kubernetes_validate.validate(document, version, strict=True) == ".".join(version.split(".")[:2])


@each_asked
def test_it_keeps_the_rules_that_no_schema_has(job: Job, options: PodOptions) -> None:
    assert problems(make_manifest(job, options)) == []


def _in(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with another value at a path such as spec.template.0."""
    changed = copy.deepcopy(document)
    *way, last = [int(word) if word.isdigit() else word for word in path.split("/")]
    table: Any = changed
    for word in way:
        table = table[word]
    table[last] = value
    return changed


WRONG = [
    ("spec/completionMode", "Indexd"),
    ("spec/completionMode", "NonIndexed"),
    ("spec/podReplacementPolicy", "TerminatingOrFailed"),
    ("spec/podFailurePolicy/rules/0/action", "ignore"),
    ("spec/podFailurePolicy/rules/1/onExitCodes/operator", "in"),
    ("spec/podFailurePolicy/rules/1/onExitCodes/values", [0]),
    ("spec/podFailurePolicy/rules/1/onExitCodes/containerName", "worker"),
    ("spec/template/spec/restartPolicy", "Always"),
    ("spec/template/spec/restartPolicy", "OnFailure"),
    ("spec/template/spec/tolerations/0/effect", "Noschedule"),
    ("spec/template/spec/tolerations/1/value", "x"),
    ("spec/template/spec/securityContext/seccompProfile/type", "Runtime"),
    ("spec/template/spec/securityContext/runAsUser", 0),
    ("spec/template/spec/containers/0/volumeMounts/0/name", "storag"),
    ("spec/template/spec/containers/0/volumeMounts/0/mountPath", "/tmp"),
    ("spec/template/spec/containers/0/resources/limits", {"cpu": "1", "memory": "1 GB"}),
    ("spec/template/spec/volumes/0/name", "scratch"),
    ("metadata/name", "Sweeps"),
    ("metadata/labels", {"a": "x" * 64}),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_those_rules_find_what_the_schema_lets_pass(path: str, value: object) -> None:
    wrong = _in(make_manifest(*ASKED["everything"]), path, value)
    kubernetes_validate.validate(wrong, all_versions()[-1], strict=True)
    assert problems(wrong)


def test_what_the_options_say_is_what_is_asked_for() -> None:
    document = make_manifest(*ASKED["everything"])
    spec, only = pod(document), container(document)
    assert document["metadata"]["namespace"] == "research"
    assert document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert document["spec"]["template"]["metadata"]["labels"] == document["metadata"]["labels"]
    assert (document["spec"]["completions"], document["spec"]["parallelism"]) == (3, 3)
    assert only["image"] == EVERYTHING.image
    assert only["resources"]["limits"] == {"cpu": "9", "memory": "18Gi", "nvidia.com/mig-1g.10gb": "1"}
    assert spec["nodeSelector"] == {"gpu.type": "h100", "zone": ""}
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
        {"key": "dedicated", "operator": "Equal", "value": ""},
        {"key": "old", "operator": "Exists", "effect": "NoExecute"},
    ]
    assert spec["priorityClassName"] == "low"
    assert spec["serviceAccountName"] == "trainer"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert only["envFrom"] == [{"secretRef": {"name": "keys"}}, {"secretRef": {"name": "more.keys"}}]
    assert [spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [20034, 500, 500]
    assert spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].items() <= (
        document["spec"]["template"]["metadata"]["labels"].items()
    )


def test_a_claim_is_one_volume_wherever_it_is_mounted_and_read_only_where_it_is_only_read() -> None:
    document = make_manifest(*ASKED["everything"])
    claims = {volume["name"]: volume["persistentVolumeClaim"] for volume in pod(document)["volumes"][2:]}
    assert sorted(claims.values(), key=str) == [
        {"claimName": "imagenet.v1", "readOnly": True},
        {"claimName": "shared", "readOnly": False},
    ]
    mounted = container(document)["volumeMounts"][2:]
    assert [(claims[mount["name"]]["claimName"], mount["mountPath"], mount["readOnly"]) for mount in mounted] == [
        ("shared", "/checkpoints", False),
        ("shared", "/again", True),
        ("imagenet.v1", "/data", True),
    ]


def test_a_pod_has_no_more_rights_than_it_needs() -> None:
    document = make_manifest(*ASKED["pool"])
    spec, only = pod(document), container(document)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    writable = [mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


def test_the_url_is_a_file_from_a_secret_named_as_the_job_or_as_it_is_said() -> None:
    for name, secret in (("pool", POOL.name), ("everything", "storage")):
        document = make_manifest(*ASKED[name])
        volume = pod(document)["volumes"][0]
        (mount,) = (mount for mount in container(document)["volumeMounts"] if mount["name"] == volume["name"])
        environment = {variable["name"]: variable.get("value") for variable in container(document)["env"]}
        (item,) = volume["secret"]["items"]
        assert volume["secret"]["secretName"] == secret
        assert volume["secret"]["defaultMode"] == 0o440
        assert environment["SWEEPS_STORAGE_FILE"] == f"{mount['mountPath']}/{item['path']}"
        assert "SWEEPS_STORAGE" not in environment
        assert STORE not in kubectl_manifest(*ASKED[name])


def test_who_was_told_to_leave_is_started_again_and_who_needs_a_person_is_not() -> None:
    rules = make_manifest(*ASKED["pool"])["spec"]["podFailurePolicy"]["rules"]
    actions = {code: rule["action"] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
    assert actions == {75: "Ignore", 2: "FailIndex"}
    assert rules[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_only_pods_with_a_gpu_ask_for_one_and_others_see_none() -> None:
    with_gpu, without = container(make_manifest(*ASKED["pool"])), container(make_manifest(*ASKED["processors"]))
    assert with_gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in without["resources"]["limits"]
    hidden = {"name": "CUDA_VISIBLE_DEVICES", "value": "-1"}
    assert hidden in without["env"]
    assert hidden not in with_gpu["env"]


def started(document: dict[str, Any], index: int, folder: Path) -> list[str]:
    """What a program called `sweeps` is started with in a pod: by Kubernetes' rules, and by a real shell."""
    program = folder / "sweeps"
    program.write_text(f"#!{shutil.which('python3')}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index), "HOME": "/tmp"}
    words = [expanded(word, environment) for word in container(document)["command"]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    read: list[str] = json.loads(done.stdout)
    return read


@pytest.mark.parametrize("shared", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_all_pods_together_have_the_workers_that_were_asked_for(workers: int, shared: int, tmp_path: Path) -> None:
    job = Job(("a", *ODD), STORE, workers, shared)
    document = make_manifest(job, PodOptions("sweeps:1", exit_when_idle=True))
    command = typer.main.get_command(launch.app).commands["local"]  # type: ignore[attr-defined]
    counts = []
    for index in range(document["spec"]["completions"]):
        first, second, *words = started(document, index, tmp_path)
        assert (first, second) == ("launch", "local")
        understood = command.make_context("local", words).params
        assert understood["studies"] in (["a", *ODD], ("a", *ODD))
        assert understood["exit_when_idle"] is True
        assert understood["workers"] <= understood["per_gpu"]
        counts.append(understood["workers"])
    assert sum(counts) == workers
    assert max(counts) <= shared


def test_a_pool_is_told_so(tmp_path: Path) -> None:
    assert started(make_manifest(*ASKED["pool"]), 3, tmp_path)[-1] == "--pool"


@given(st.lists(texts, min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 3))
def test_names_of_studies_arrive_as_they_are(studies: list[str], workers: int, shared: int) -> None:
    document = make_manifest(Job(tuple(studies), STORE, workers, shared), PodOptions("sweeps:1"))
    read = yaml.safe_load(to_yaml(document))
    assert read == document
    words = [expanded(word, {"HOME": "/tmp", "a": "b"}) for word in container(read)["command"]]
    assert words[-len(studies) :] == studies
    assert to_yaml(document).isascii()


@given(st.text("$()aA{ ", max_size=12))
def test_no_variable_is_put_in_place_of_a_literal_text(said: str) -> None:
    assert expanded(escape_variables(said), {"a": "1", "A": "2", "aA": "3", "": "4"}) == said


def kubectl(*words: str, stdin: str = "") -> str:
    """What the real one prints; it needs no cluster for what is asked of it here."""
    program = shutil.which("kubectl")
    if program is None:
        servers.absent("kubectl is not installed")
    done = subprocess.run([program, *words], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def applied(written: str) -> list[str]:
    """The command of the pods of a manifest as `kubectl apply -f -` reads it."""
    read = json.loads(kubectl("label", "--local", "-f", "-", "a=b", "-o", "json", stdin=written))
    return [expanded(word, {"HOME": "/tmp"}) for word in container(read)["command"]]


@each_asked
def test_kustomize_reads_a_base_as_we_wrote_it(job: Job, options: PodOptions, tmp_path: Path) -> None:
    job = replace(job, studies=tuple(study for study in job.studies if study not in ("\x85", "=")))
    write_kustomize_base(job, options, tmp_path / "base")
    assert sorted(path.name for path in (tmp_path / "base").iterdir()) == ["job.yaml", "kustomization.yaml"]
    assert yaml.safe_load(kubectl("kustomize", str(tmp_path / "base"))) == make_manifest(job, options)


readable = st.text(
    st.characters(
        exclude_characters=["\0", "\ufffe", "\uffff", *map(chr, range(0x7F, 0xA0))], exclude_categories=["Cs"]
    )
)
few_examples = settings(max_examples=10)


@few_examples
@given(st.lists(readable | st.sampled_from(sorted(set(ODD) - {"\x85"})), min_size=50, max_size=50))
def test_kustomize_reads_names_of_studies_as_we_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, studies: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names") / "base"
    write_kustomize_base(Job(tuple(studies), STORE, 1, 1), PodOptions("sweeps:1"), folder)
    assert applied(kubectl("kustomize", str(folder)))[-50:] == studies


@pytest.mark.parametrize("sign", ["\x7f", "\x85", "\x9f", "\ufffe"])
def test_a_name_that_kustomize_would_change_is_refused(sign: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kustomize"):
        write_kustomize_base(Job((f"a{sign}b",), STORE, 1, 1), PodOptions("sweeps:1"), tmp_path / "base")
    assert not list(tmp_path.iterdir())


@few_examples
@given(st.lists(texts | st.sampled_from(ODD), min_size=50, max_size=50))
def test_kubectl_reads_names_of_studies_as_we_wrote_them(studies: list[str]) -> None:
    assert applied(kubectl_manifest(Job(tuple(studies), STORE, 1, 1), PodOptions("sweeps:1")))[-50:] == studies


@pytest.mark.parametrize("before", ["absent", "empty"])
def test_a_base_is_written_into_a_new_folder_or_an_empty_one(before: str, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    if before == "empty":
        folder.mkdir()
    write_kustomize_base(POOL, PodOptions("sweeps:1"), folder)
    assert (folder / "job.yaml").read_text() == kubectl_manifest(POOL, PodOptions("sweeps:1"))


def _full(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").touch()


def _file(folder: Path) -> None:
    folder.write_text("mine")


@pytest.mark.parametrize("occupy", [_full, _file])
def test_a_base_never_takes_the_place_of_anything(occupy: Callable[[Path], None], tmp_path: Path) -> None:
    occupy(tmp_path / "base")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="--to"):
        write_kustomize_base(POOL, PodOptions("sweeps:1"), tmp_path / "base")
    with pytest.raises(InputError, match="--to"):
        write_kustomize_base(POOL, PodOptions("sweeps:1"), tmp_path / "no" / "such")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_manifest_says_how_its_secret_is_made_with_the_url_in_no_argument(tmp_path: Path) -> None:
    shown = kubectl_manifest(POOL, PodOptions("sweeps:1", "research"))
    (line,) = re.findall(r"^#   (printf .*)$", shown, re.MULTILINE)
    kubectl("version", "--client")
    url = "postgresql://me:it's $HOME%0A@db/x"
    environment = {"PATH": os.environ["PATH"], "SWEEPS_STORAGE": url, "HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", f"{line} --dry-run=client -o json"], env=environment, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)
    volume = pod(make_manifest(POOL, PodOptions("sweeps:1", "research")))["volumes"][0]["secret"]
    assert made["metadata"]["name"] == volume["secretName"]
    assert made["metadata"]["namespace"] == "research"
    assert base64.b64decode(made["data"][volume["items"][0]["key"]]).decode() == url


REFUSED: dict[str, PodOptions] = {
    "--image": PodOptions(""),
    "--image 'a b'": PodOptions("a b"),
    "--image '-x'": PodOptions("-x"),
    "--namespace": PodOptions("a", "A\n# b"),
    "--artifacts": PodOptions("a", artifacts="checkpoints"),
    "--artifacts /checkpoints: would end": PodOptions("a", artifacts="/checkpoints"),
    "--artifacts /data/x: would end": PodOptions("a", artifacts="/data/x", claims=("b:/data:ro",)),
    "--artifacts /datax: would end": PodOptions("a", artifacts="/datax", claims=("b:/data",)),
    "--artifacts: write": PodOptions("a", artifacts="https://me:password@host/x"),
    "--claim a": PodOptions("a", claims=("a",)),
    "--claim a:b": PodOptions("a", claims=("a:b",)),
    "--claim a:/": PodOptions("a", claims=("a:/",)),
    "--claim a:/b:rw": PodOptions("a", claims=("a:/b:rw",)),
    "--claim A:/b": PodOptions("a", claims=("A:/b",)),
    "--claim a:/tmp/: /tmp is taken": PodOptions("a", claims=("a:/tmp/",)),
    "--claim b:/x: /x is taken": PodOptions("a", claims=("a:/x", "b:/x")),
    "--label a": PodOptions("a", labels=("a",)),
    "--node-selector =a": PodOptions("a", placement=Placement(node_selectors=("=a",))),
    "--toleration a:b": PodOptions("a", placement=Placement(tolerations=("a:b",))),
    "--toleration :NoSchedule": PodOptions("a", placement=Placement(tolerations=(":NoSchedule",))),
    "--priority-class": PodOptions("a", placement=Placement(priority_class="A B")),
    "--memory-per-worker 1.5Gi": PodOptions("a", resources=WorkerResources(memory_per_worker="1.5Gi")),
    "--memory-per-worker 4GB": PodOptions("a", resources=WorkerResources(memory_per_worker="4GB")),
    "--user 0": PodOptions("a", access=Access(user="0")),
    "--user me": PodOptions("a", access=Access(user="me")),
    "--user 1:0": PodOptions("a", access=Access(user="1:0")),
    "--secret": PodOptions("a", access=Access(secret="a\n")),
    "--env-secret": PodOptions("a", access=Access(env_secrets=("A",))),
    "--pull-secret": PodOptions("a", access=Access(pull_secrets=("-",))),
    "--service-account": PodOptions("a", access=Access(service_account="")),
}


@pytest.mark.parametrize("option", REFUSED)
def test_an_option_that_is_none_is_refused_by_its_name(option: str) -> None:
    with pytest.raises(InputError) as caught:
        make_manifest(POOL, REFUSED[option])
    assert str(caught.value).startswith(option)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("study", ["a\udc80", "a\0b"])
def test_a_study_whose_name_no_manifest_can_hold_is_refused(study: str) -> None:
    with pytest.raises(InputError, match=r"^study "):
        make_manifest(Job((study,), STORE, 1, 1), PodOptions("a"))


@pytest.mark.parametrize("location", ["/checkpoints", "/checkpoints/a", "file:///checkpoints/a", "s3://b/c", "gs://b"])
def test_checkpoints_go_to_a_bucket_or_onto_a_claim(location: str) -> None:
    document = make_manifest(POOL, PodOptions("a", artifacts=location, claims=("shared:/checkpoints",)))
    assert {"name": "SWEEPS_ARTIFACTS", "value": location} in container(document)["env"]
