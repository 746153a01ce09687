"""Places: the same promises of a folder and of buckets, on full disks, read-only ones and broken lines."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
import servers
from hypothesis import given
from hypothesis import strategies as st
from optuna.artifacts import _gcs
from optuna.artifacts.exceptions import ArtifactNotFound

from sweeps.artifacts.locations import (
    ArtifactLocation,
    Bucket,
    Folder,
    artifact_location,
    artifact_store,
    require_writable_location,
)
from sweeps.errors import InputError

BIG = os.urandom(2_000_000)
NOBODY = 65534
HANGS = """
import os, sys, time
from pathlib import Path
from sweeps.artifacts.locations import Folder

os.fsync = lambda file: time.sleep(600)
Folder(Path(sys.argv[1])).write("a/b", b"new")
"""
LIMITED = """
import resource, sys
from pathlib import Path
from sweeps.artifacts.locations import Folder

resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
Folder(Path(sys.argv[1])).write("a/b", b"old")
try:
    Folder(Path(sys.argv[1])).write("a/b", bytes(1_000_000))
except OSError as exc:
    print(exc.strerror)
"""
WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from sweeps.errors import InputError
from sweeps.artifacts.locations import artifact_location
try:
    artifact_location(sys.argv[2])
except InputError as exc:
    print(exc)
"""


def files(folder: Path) -> list[str]:
    """All files below a folder, whatever their names."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def keeps_its_promises(where: ArtifactLocation) -> None:
    """What every place does."""
    assert where.read("a/b") is None
    where.remove("a/b")
    where.write("a/b", b"old")
    where.write("a/c d%é.ckpt", b"")
    where.write("a/b", BIG)
    assert where.read("a/b") == BIG
    assert where.read("a/c d%é.ckpt") == b""
    assert where.read("a") is None
    where.remove("a/b")
    where.remove("a/b")
    assert where.read("a/b") is None
    for name in ("../x", "a/../../x", "/x", "", ".", "a//b", "a/", "a\0b"):
        with pytest.raises(ValueError, match="no name"):
            where.write(name, b"")
        with pytest.raises(ValueError, match="no name"):
            where.read(name)
        with pytest.raises(ValueError, match="no name"):
            where.remove(name)


# A folder


def test_a_folder_keeps_its_promises(tmp_path: Path) -> None:
    keeps_its_promises(artifact_location(str(tmp_path / "not" / "yet")))
    assert files(tmp_path) == ["not/yet/a/c d%é.ckpt"]


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://localhost{}"])
def test_a_folder_by_path_and_by_url(form: str, tmp_path: Path) -> None:
    artifact_location(form.format(tmp_path / "x")).write("a", b"1")
    assert (tmp_path / "x" / "a").read_bytes() == b"1"


def test_a_url_may_have_signs_by_number(tmp_path: Path) -> None:
    artifact_location(f"file://{tmp_path}/my%20files").write("a", b"1")
    assert files(tmp_path) == ["my files/a"]


def test_a_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = artifact_location("x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    here.write("a", b"1")
    assert files(tmp_path) == ["x/a"]


@given(st.text() | st.text("./a", max_size=6))
def test_no_name_leaves_the_folder(name: str) -> None:
    with TemporaryDirectory() as outer:
        inner = Folder(Path(outer) / "inner")
        try:
            inner.write(name, b"1")
        except (OSError, ValueError):  # too long, or no name
            return
        assert inner.read(name) == b"1"
        assert [path.parts[0] for path in map(Path, files(Path(outer)))] == ["inner"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "no place for files"),
        ("a\0b", "no place for files"),
        ("file:///a%00b", "no place for files"),
        ("file://server/share", "another machine"),
        ("file://relative", "another machine"),
        ("https://me:hush@host/x", "https:// is no place"),
        ("s3://", "no bucket"),
        ("s3:///x", "no bucket"),
        ("s3://me:hush@bucket/x", "no bucket"),
        ("s3://bucket/x?endpoint_url=hush", "more than a bucket"),
        ("gs://bucket/../x", "as a prefix"),
        ("gs://b ad/x", "no bucket"),
    ],
)
def test_what_is_no_place_is_refused_with_the_mend(where: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        artifact_location(where)
    assert "write " in str(caught.value)
    assert "hush" not in str(caught.value)
    with pytest.raises(InputError, match=said):
        artifact_store(where)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="a file, not a folder"):
        artifact_location(str(tmp_path / "x"))


def test_a_killed_writer_is_cleared_up_after_and_a_living_one_is_not(tmp_path: Path) -> None:
    where = Folder(tmp_path)
    where.write("a/b", b"old")
    with subprocess.Popen([sys.executable, "-c", HANGS, str(tmp_path)]) as process:
        while len(files(tmp_path)) < 2 or not any(path.stat().st_size for path in tmp_path.glob("a/.*")):
            assert process.poll() is None
            time.sleep(0.01)
        where.write("a/b", b"ours")
        where.remove("a/none")
        assert len(files(tmp_path)) == 2
        process.send_signal(signal.SIGKILL)
    assert where.read("a/b") == b"ours"
    assert len(files(tmp_path)) == 2
    where.write("a/c", b"another name clears nothing of this one")
    assert len(files(tmp_path)) == 3
    where.write("a/b", b"next")
    assert files(tmp_path) == ["a/b", "a/c"]


def test_a_write_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: int) -> None:
        raise OSError(5, "Input/output error")

    where = Folder(tmp_path)
    where.write("a/b", b"old")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        where.write("a/b", b"new")
    assert (where.read("a/b"), files(tmp_path)) == (b"old", ["a/b"])


def test_a_file_too_large_leaves_the_old_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "File too large"
    assert (Folder(tmp_path).read("a/b"), files(tmp_path)) == (b"old", ["a/b"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        servers.absent("only root, where it may mount, has a disk to fill or to lock")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_leaves_the_old_file_and_no_trace(disk: Path) -> None:
    where = Folder(disk)
    old = BIG[:600_000]
    where.write("a/b", old)
    with pytest.raises(OSError, match="No space left"):
        where.write("a/b", BIG[:900_000])
    assert (where.read("a/b") == old, files(disk)) == (True, ["a/b"])
    where.write("a/b", BIG[:100_000])


def test_a_disk_that_is_read_only_is_read(disk: Path) -> None:
    where = Folder(disk)
    where.write("a/b", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    changes: list[Callable[[], object]] = [
        lambda: where.write("a/b", b"new"),
        lambda: where.write("c", b""),
        lambda: where.remove("a/b"),
    ]
    for change in changes:
        with pytest.raises(OSError, match="Read-only"):
            change()
    assert where.read("a/b") == b"old"


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that this process may not write to; root, who may write everywhere, is nobody meanwhile."""
    folder = Path(mkdtemp(dir="/tmp"))  # pytest's own folders are closed to nobody
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    folder.rmdir()


def test_a_folder_of_someone_else(locked: Path) -> None:
    with pytest.raises(PermissionError):
        Folder(locked).write("a", b"")
    with pytest.raises(InputError, match=r"no checkpoint can be kept .*Permission denied.*--artifacts") as caught:
        require_writable_location(str(locked))
    assert "\n" not in str(caught.value)


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    require_writable_location(str(tmp_path / "not" / "yet"))
    assert files(tmp_path) == []


def test_pictures_lie_in_the_same_folder(tmp_path: Path) -> None:
    where = str(tmp_path / "not" / "yet")
    with (tmp_path / "picture").open("wb+") as file:
        artifact_store(where).write("picture-1", file)
    assert artifact_location(where).read("picture-1") == b""


def test_light_commands_load_no_client() -> None:
    code = """
import sys
import sweeps.artifacts.checkpoints
from sweeps.artifacts.locations import artifact_location
artifact_location("x")
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"boto3", "google.cloud.storage", "optuna"} & set(done.stdout.split())


# Buckets


@pytest.mark.parametrize(
    ("where", "module", "package"),
    [("s3://bucket/x", "boto3", "boto3"), ("gs://bucket", "google.cloud.storage", "google-cloud-storage")],
)
def test_a_client_that_is_not_installed(where: str, module: str, package: str) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, module, where], capture_output=True, text=True, check=True)
    assert done.stdout == f"{where}: {package} is not installed; pip install {package}\n"


def needs(package: str) -> None:
    """Skip without a package; fail where nothing may be lacking."""
    try:
        importlib.import_module(package)
    except ImportError:
        servers.absent(f"{package} is not installed: no S3 server to test with")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server of this machine."""
    needs("moto.server")
    needs("boto3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        while True:
            assert process.poll() is None
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that reaches no account of anyone's."""
    needs("boto3")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers who we were
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return monkeypatch


@pytest.fixture
def s3(server: str, aws: pytest.MonkeyPatch) -> Any:
    """A client of the server, which has one empty bucket."""
    import boto3

    aws.setenv("AWS_ENDPOINT_URL", server)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    for each in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=each["Key"])
    return client


@pytest.mark.parametrize("where", ["s3://bucket", "s3://bucket/", "s3://bucket/my/sweeps/"])
def test_a_bucket_of_s3_keeps_its_promises(where: str, s3: Any) -> None:
    keeps_its_promises(artifact_location(where))
    prefix = where.removeprefix("s3://bucket").lstrip("/")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == [f"{prefix}a/c d%é.ckpt"]


def test_a_large_file_goes_to_s3_in_parts(s3: Any) -> None:
    content = BIG * 10
    artifact_location("s3://bucket/x").write("a", content)
    assert "-" in s3.head_object(Bucket="bucket", Key="x/a")["ETag"]  # how S3 marks it
    assert artifact_location("s3://bucket/x").read("a") == content


def test_pictures_lie_in_the_same_bucket(s3: Any, tmp_path: Path) -> None:
    store = artifact_store("s3://bucket/x")
    (tmp_path / "picture").write_bytes(b"png")
    with (tmp_path / "picture").open("rb") as file:
        store.write("picture-1", file)
    assert s3.get_object(Bucket="bucket", Key="x/picture-1")["Body"].read() == b"png"
    assert store.open_reader("picture-1").read() == b"png"
    with pytest.raises(ArtifactNotFound):
        store.open_reader("picture-2")


def test_a_bucket_is_probed_and_left_as_it_was(s3: Any) -> None:
    require_writable_location("s3://bucket/x")
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")
    with pytest.raises(InputError, match=r"^s3://another-bucket/x: no checkpoint can be kept there .*does not exist"):
        require_writable_location("s3://another-bucket/x")


def acts_on(where: ArtifactLocation) -> list[Callable[[], object]]:
    return [lambda: where.write("a", b""), lambda: where.read("a"), lambda: where.remove("a")]


def test_a_bucket_that_is_not_there(s3: Any) -> None:
    nowhere = artifact_location("s3://another-bucket/x")
    for act in acts_on(nowhere):
        with pytest.raises(OSError, match=r"s3://another-bucket/x: .*bucket does not exist") as caught:
            act()
        assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "http://me:hush-hush@127.0.0.1:1")
    nowhere = artifact_location("s3://bucket/x")
    for act in acts_on(nowhere):
        with pytest.raises(OSError, match="s3://bucket/x: EndpointConnectionError") as caught:
            act()
        assert "\n" not in str(caught.value)
        assert "hush" not in str(caught.value)
        assert caught.value.__suppress_context__  # nor does a traceback print the client's own text


def test_nobody_said_who_we_are(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(OSError, match="s3://bucket: NoCredentialsError: Unable to locate credentials"):
        artifact_location("s3://bucket").read("a")


def test_a_client_that_cannot_start(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match=r"s3://bucket/x: its client cannot start .*nobody.*check its settings"):
        artifact_location("s3://bucket/x")


class NotFound(Exception):
    """As Google's client has it."""

    code = 404


class Objects:
    """As much of Google's client and its buckets as Optuna's store asks for."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self.kept = kept

    def bucket(self, name: str) -> "Objects":
        assert name == "bucket"
        return self

    def get_blob(self, key: str) -> Any:
        return SimpleNamespace(download_as_bytes=lambda: self.kept[key]) if key in self.kept else None

    def blob(self, key: str) -> Any:
        return SimpleNamespace(upload_from_string=lambda content: self.kept.__setitem__(key, content))

    def delete_blob(self, key: str) -> None:
        if key not in self.kept:
            raise NotFound
        del self.kept[key]


def fake_google(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    """Let Optuna's store find this client, whether Google's is installed or not."""
    google = SimpleNamespace(cloud=SimpleNamespace(storage=SimpleNamespace(Client=lambda: client)))
    monkeypatch.setattr(_gcs, "google", google, raising=False)
    monkeypatch.setattr(_gcs, "_imports", SimpleNamespace(check=lambda: None))


@pytest.mark.parametrize(("where", "prefix"), [("gs://bucket", ""), ("GS://bucket/my/sweeps/", "my/sweeps/")])
def test_a_bucket_of_google_keeps_its_promises(where: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    fake_google(monkeypatch, Objects(kept))
    assert isinstance(artifact_location(where), Bucket)
    keeps_its_promises(artifact_location(where))
    assert kept == {f"{prefix}a/c d%é.ckpt": b""}


def test_a_bucket_of_google_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Objects):
        def blob(self, key: str) -> Any:
            raise NotFound(f"hush {key}")

    fake_google(monkeypatch, Broken({}))
    with pytest.raises(OSError, match=r"^gs://bucket: NotFound$"):
        artifact_location("gs://bucket").write("a", b"")
