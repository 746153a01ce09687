"""Images without a daemon: a base by mmdebstrap, the Dockerfiles by buildah, containers by runc, which Docker runs too.

All of it lies in one folder, which goes when it is closed. Needs root, for mounts.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import servers

ROOT = Path(__file__).parents[2]
BASE = "localhost/base"
TOOLS = ("mmdebstrap", "buildah", "runc")  # each is a package of Debian's by that name


def require(program: str, package: str = "") -> str:
    """The path of a program; where it is missing the test fails if it is required, and is skipped otherwise."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        servers.absent(f"no {program} here: install {package or program}")
    return str(found)


@dataclass
class Container:
    """A process as `docker run --read-only --cap-drop ALL --security-opt no-new-privileges --network host` starts it.

    Attributes:
        words: what comes after the image's name.
        mounts: {path inside: path outside}; writable, as far as its owner may write.
    """

    images: "Images"
    image: str
    words: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, Path] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[str]:
        """The process; runc passes signals on to the container's first."""
        bundle = Path(tempfile.mkdtemp(dir=self.images.folder, prefix="container-"))
        (bundle / "config.json").write_text(json.dumps(self._config()))
        command = [*self.images.runc, "run", "--bundle", str(bundle), bundle.name]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def run(self, limit: float = 120.0) -> str:
        """What it said, once it has ended with 0."""
        process = self.start()
        try:
            said, _ = process.communicate(timeout=limit)
        finally:
            process.kill()
        assert process.returncode == 0, said
        return said

    def _config(self) -> dict[str, Any]:
        image = self.images.config(self.image)
        uid, gid = map(int, image["User"].split(":"))
        given = [f"{name}={value}" for name, value in self.environment.items()]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": [*image["Entrypoint"], *(self.words or image["Cmd"])],
                "env": [*image["Env"], *given],
                "cwd": image["WorkingDir"],
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.images.root(self.image)), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "mode=1777"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
                *({"destination": there, "source": str(here), "options": ["bind"]} for there, here in self._mounts()),
            ],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount")]},
        }

    def _mounts(self) -> list[tuple[str, Path]]:
        return sorted(self.mounts.items())


class Images:
    """A store of images of its own."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            servers.absent("images are built and run as root only")
        for tool in TOOLS:
            require(tool)
        self.folder = Path(tempfile.mkdtemp(prefix="sweeps-images-", dir="/var/tmp"))  # gigabytes: not in memory
        self.runc = [require("runc"), "--root", str(self.folder / "runc")]
        self._store = [f"--root={self.folder}/storage", f"--runroot={self.folder}/run", "--storage-driver=overlay"]
        self._roots: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End, unmount and remove all."""
        left = subprocess.run([*self.runc, "list", "--quiet"], capture_output=True, text=True, check=True).stdout
        for each in left.split():
            subprocess.run([*self.runc, "delete", "--force", each], check=True)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for each in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "--lazy", each], check=True)
        shutil.rmtree(self.folder)

    def base(self) -> None:
        """A Debian like this one, with Python."""
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        archive, packages = str(self.folder / "base.tar"), "--include=python3,python3-venv,ca-certificates"
        unsafe = "--dpkgopt=force-unsafe-io"  # nobody needs it after a power cut
        self._tool("mmdebstrap", "--quiet", "--variant=minbase", unsafe, packages, release["VERSION_CODENAME"], archive)
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", container, archive, "/")
        self.buildah("commit", "--quiet", container, BASE)
        self.buildah("rm", container)
        Path(archive).unlink()

    def build(self, name: str) -> None:
        """Build the image NAME of docker/Dockerfile.

        Layers are not cached: Debian's buildah cannot mount a stage that comes from the cache.
        """
        how = ["--isolation=chroot", "--network=host", "--format=docker", f"--build-arg=BASE={BASE}"]
        volumes = [f"--volume={path}:{there}:ro" for path, there in self._pip().items()]
        what = [f"--target={name}", f"--tag={name}", f"--file={ROOT}/docker/Dockerfile", str(ROOT)]
        self.buildah("build", "--quiet", *how, *volumes, *what)

    def config(self, name: str) -> dict[str, Any]:
        """What the image says of how it is run."""
        found: dict[str, Any] = json.loads(self.buildah("inspect", "--type=image", name))["Docker"]["config"]
        return found

    def root(self, name: str) -> Path:
        """Where the image's files are."""
        if name not in self._roots:
            container = self.buildah("from", "--pull-never", name).strip()
            self._roots[name] = Path(self.buildah("mount", container).strip())
        return self._roots[name]

    def buildah(self, *words: str) -> str:
        """What buildah says, of this store."""
        return self._tool("buildah", *self._store, *words)

    def _tool(self, program: str, *words: str) -> str:
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        done = subprocess.run([require(program), *words], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{program} {' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def _pip(self) -> dict[str, str]:
        """What pip is told on this machine, and the files and folders that it is told of: {here: in the build}."""
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        ).stdout
        told: dict[str, str] = {}
        for key, _, value in (line.partition("=") for line in listed.splitlines()):  # the environment's come first
            told.setdefault(key.rpartition(".")[2], " ".join(ast.literal_eval(value).split()))
        told.pop("no-cache-dir", None)
        told["compile"] = "no"  # a third of the time; Python compiles what a test uses
        words = [word for value in told.values() for word in value.split()]
        # An index in a folder has pages, and beside them the files that they name.
        paths = [
            Path(word.removeprefix("file://")).parent if word.startswith("file://") else Path(word) for word in words
        ]
        volumes = {str(path): str(path) for path in paths if path.is_absolute() and path.exists()}
        cache = _cache()
        if cache is not None:
            told["cache-dir"] = "/var/cache/pip"
            volumes[str(cache)] = "/var/cache/pip"
        settings = self.folder / "pip.conf"
        settings.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in told.items()), ""]))
        return {**volumes, str(settings): "/etc/pip.conf"}


def _cache() -> Path | None:
    """Where pip keeps what it has downloaded, if it does."""
    words = [sys.executable, "-m", "pip", "cache", "dir"]
    found = Path(subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip())
    return found if found.is_absolute() and found.is_dir() else None
