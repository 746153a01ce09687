"""An export as a commit on a branch, made of git's plumbing: no working tree and no index is touched."""

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import InputError, SweepsError
from sweeps.export.plan import File, WritePlan, make_plan
from sweeps.files import temporary_folder

# Where git looks is said here, not by a hook or a shell that this runs in.
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
)


@dataclass(frozen=True, slots=True)
class Commit:
    """What was committed.

    Attributes:
        place: the folder as git writes it, BRANCH:FOLDER/.
        sha: of the new commit; empty where nothing changed.
        parent: in words.
    """

    plan: WritePlan
    place: str
    sha: str
    parent: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder in a repository's commits.

    Attributes:
        git: a folder that git finds the repository from.
        prefix: the folder's name in the repository's trees, with `/` behind it; empty at the top.
    """

    git: Path
    prefix: str

    def run_git(self, *arguments: str, stdin: bytes = b"", index: str = "") -> bytes:
        """Return what a git command prints.

        Raises:
            InputError: git is not installed, or the command fails.
        """
        done = self.try_git(*arguments, stdin=stdin, index=index)
        if done.returncode:
            raise InputError(f"git {arguments[0]}: {_summarise_error(done.stderr)}")
        return done.stdout

    def try_git(self, *arguments: str, stdin: bytes = b"", index: str = "") -> subprocess.CompletedProcess[bytes]:
        """Return the end of a git command."""
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        environment |= {"LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1"}
        if index:
            environment["GIT_INDEX_FILE"] = index
        command = ["git", "-C", str(self.git), *arguments]
        try:
            return subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
        except FileNotFoundError as exc:
            raise InputError("--commit needs git, which is not installed here") from exc


def commit_files(
    folder: Path, branch: str, wanted: Mapping[str, File], message: Sequence[str], *, force: bool
) -> Commit:
    """Commit files and their manifest to a branch of the repository that a folder lies in, or would lie in.

    A branch that is not there yet starts at HEAD. A branch that moves meanwhile is left as it is.

    Raises:
        InputError: no repository, no name of a branch, a branch that is checked out, files on it that differ; or git
            refuses.
        SweepsError: the branch has moved meanwhile.
    """
    tree = _find_tree(folder)
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or branch == "HEAD" or tree.try_git("check-ref-format", ref).returncode:
        raise InputError(f"--commit {branch}: is no name of a branch")
    if taken := _checked_out(tree, ref):
        raise InputError(
            f"--commit {branch}: is checked out in {taken}, whose files would look changed; name another branch, or "
            "leave out --commit"
        )
    tip = _commit_of(tree, ref)
    head = _commit_of(tree, "HEAD")
    base = tip or head
    files: dict[str, str] = {}
    if base:
        files = _list_files(tree, base, wanted)

    def there(name: str) -> bytes | None:
        if name in files:
            return tree.run_git("cat-file", "blob", files[name])
        return None

    place = f"{branch}:{tree.prefix}"
    plan = make_plan(wanted, there, place, force=force)
    if tip:
        parent = f"its tip {tip[:9]}"
    else:
        if head:
            parent = f"HEAD, {head[:9]}"
        else:
            parent = "nothing: the repository is empty"
    if not plan.files:
        return Commit(plan, place, "", parent)
    sha = _make_commit(tree, base, plan.files, message)
    done = tree.try_git("update-ref", "-m", "sweeps export", ref, sha, tip)
    if done.returncode:
        if _commit_of(tree, ref) != tip:
            raise SweepsError(f"branch {branch!r} has moved meanwhile, and was left as it is; export again")
        raise InputError(f"--commit {branch}: {_summarise_error(done.stderr)}")
    return Commit(plan, place, sha, parent)


def _find_tree(folder: Path) -> Tree:
    """Return where a folder lies in its repository.

    Raises:
        InputError: it lies in none.
    """
    folder = folder.resolve()
    nearest = next(path for path in (folder, *folder.parents) if path.is_dir())
    git = Tree(nearest, "")
    done = git.try_git("rev-parse", "--is-bare-repository", "--is-inside-work-tree", "--absolute-git-dir")
    if done.returncode:
        raise InputError(f"{folder}: --commit: {_summarise_error(done.stderr)}; name a folder in a git repository")
    bare, inside, git_dir = done.stdout.decode(errors="surrogateescape").splitlines()
    if bare == "true":
        top = Path(git_dir)
    elif inside == "true":
        top = Path(os.fsdecode(git.run_git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    else:
        raise InputError(f"{folder}: --commit: inside of git's own folder; name a folder of the repository's files")
    relative = folder.relative_to(top.resolve()).as_posix()
    if relative == ".":
        return Tree(nearest, "")
    return Tree(nearest, f"{relative}/")


def _checked_out(tree: Tree, ref: str) -> str:
    """Return the working tree that a branch is checked out in, if any."""
    for block in os.fsdecode(tree.run_git("worktree", "list", "--porcelain")).split("\n\n"):
        lines = block.splitlines()
        if f"branch {ref}" in lines:
            return lines[0].removeprefix("worktree ")
    return ""


def _commit_of(tree: Tree, name: str) -> str:
    """Return the commit that a name stands for; empty where it stands for none."""
    return tree.try_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.decode().strip()


def _list_files(tree: Tree, base: str, wanted: Collection[str]) -> dict[str, str]:
    """Return the files of the folder in a commit, with their blobs.

    Raises:
        InputError: a file has the name of the folder, or of one that it is in, or a folder that of a file.
    """
    parts: list[str] = []
    command = ["ls-tree", "-z", "--full-tree", base]
    if tree.prefix:
        parts = tree.prefix.rstrip("/").split("/")
        command.append(tree.prefix)
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[:count])
        kind = tree.try_git("cat-file", "-t", f"{base}:{name}").stdout.strip()
        if kind not in (b"tree", b""):
            raise InputError(f"--commit: {name} is no folder in {base[:9]}; name another with --to")
    values: dict[str, str] = {}
    for line in tree.run_git(*command).split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        _, kind, sha = facts.split()
        name = os.fsdecode(path).removeprefix(tree.prefix)
        if kind == b"blob":
            values[name] = sha.decode()
        elif name in wanted:
            raise InputError(f"--commit: {tree.prefix}{name} is no file in {base[:9]}; name another with --to")
    return values


def _make_commit(tree: Tree, base: str, files: Mapping[str, bytes | None], message: Sequence[str]) -> str:
    """Return a commit with these files put over those of another, or removed from it, which no branch knows yet."""
    with temporary_folder("index") as temporary:
        index = str(temporary / "index")
        tree.run_git("read-tree", base or "--empty", index=index)
        lines = []
        for name, content in files.items():
            if content is None:
                entry = b"0 " + b"0" * len(base)  # git's word for a file to be removed
            else:
                entry = b"100644 " + tree.run_git("hash-object", "-w", "--stdin", stdin=content).strip()
            lines.append(entry + b"\t" + os.fsencode(f"{tree.prefix}{name}") + b"\0")
        tree.run_git("update-index", "--add", "-z", "--index-info", stdin=b"".join(lines), index=index)
        written = tree.run_git("write-tree", index=index).decode().strip()
    command = ["commit-tree", written]
    if base:
        command += ["-p", base]
    text = "\n".join(message).encode()
    return tree.run_git(*command, stdin=text).decode().strip()


def _summarise_error(stderr: bytes) -> str:
    """Return what git says, as one line: what is fatal, if it says so."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    text = " ".join((fatal or lines or ["it says nothing"])[-1].split())
    text = text.removeprefix("fatal: ").removeprefix("error: ")
    if b"tell me who you are" in stderr or "ident" in text:
        return f"{text}; say who commits with git config user.name and user.email"
    return text
