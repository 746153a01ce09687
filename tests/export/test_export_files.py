"""Exports as files: whole or not at all, in a folder or on a branch; never over what people have edited."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import servers

from sweeps.errors import InputError, SweepsError
from sweeps.export import branch, folder, manifest
from sweeps.export.manifest import Entry
from sweeps.export.plan import File, WritePlan

NOBODY = 65534


def files(**contents: str) -> dict[str, File]:
    """Files of an export by name, `_` standing for the dot; all of trial 7."""
    return {name.replace("_", "."): file(content) for name, content in contents.items()}


def file(content: str, trial: int = 7) -> File:
    data = content.encode()
    return File(data, Entry(sha256(data).hexdigest(), "study", trial, "sqlite:///x.db"))


def write(path: Path, force: bool = False, **contents: str) -> WritePlan:
    return folder.write_folder(path, files(**contents), force=force)


def found(path: Path) -> dict[str, bytes]:
    """Everything below a folder, git's own files aside."""
    inside = [each for each in path.rglob("*") if each.is_file() and ".git" not in each.parts]
    return {str(each.relative_to(path)): each.read_bytes() for each in inside}


def test_a_new_folder_holds_the_files_and_a_manifest_of_them(tmp_path: Path) -> None:
    done = write(tmp_path / "a" / "b", best_toml="x", best_py="y")
    assert done.states == {"best.toml": "new", "best.py": "new"}
    listed = json.loads((tmp_path / "a/b/manifest.json").read_text())
    assert {name: entry["sha256"] for name, entry in listed["files"].items()} == {
        "best.toml": sha256(b"x").hexdigest(),
        "best.py": sha256(b"y").hexdigest(),
    }
    assert found(tmp_path).keys() == {"a/b/best.toml", "a/b/best.py", "a/b/manifest.json"}


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "out", best_toml="x")
    for each in (tmp_path / "out").iterdir():
        os.utime(each, (1, 1))
    os.utime(tmp_path / "out", (1, 1))
    assert write(tmp_path / "out", best_toml="x") == WritePlan({}, {"best.toml": "unchanged"})
    assert {each.stat().st_mtime for each in (tmp_path / "out", *(tmp_path / "out").iterdir())} == {1}


def test_exports_add_up_in_one_folder_beside_what_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    write(tmp_path, best_toml="x")
    assert write(tmp_path, second_toml="y").states == {"second.toml": "new"}
    assert manifest.parse_manifest((tmp_path / "manifest.json").read_bytes(), "").keys() == {"best.toml", "second.toml"}
    (tmp_path / "best.toml").unlink()
    write(tmp_path, second_toml="y")
    assert manifest.parse_manifest((tmp_path / "manifest.json").read_bytes(), "").keys() == {"second.toml"}
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_differs_is_overwritten_by_force_alone(tmp_path: Path) -> None:
    write(tmp_path, edited_toml="a", older_toml="b", kept_toml="c")
    folder.write_folder(tmp_path, {"other.toml": file("d", trial=3)}, force=False)
    (tmp_path / "edited.toml").write_text("mine")
    (tmp_path / "foreign.toml").write_text("mine too")
    before = found(tmp_path)
    new: dict[str, Any] = {"edited_toml": "a", "older_toml": "B", "kept_toml": "c"}
    new |= {"foreign_toml": "e", "other_toml": "D"}
    with pytest.raises(InputError) as caught:
        write(tmp_path, **new)
    assert set(str(caught.value).splitlines()) == {
        f"{tmp_path}: edited.toml: edited since the export; --force overwrites",
        f"{tmp_path}: older.toml: would be written otherwise now; --force overwrites",
        f"{tmp_path}: foreign.toml: there already, and not of an export; --force overwrites",
        f"{tmp_path}: other.toml: of trial 3 of 'study', and now it would be trial 7 of 'study'; --force overwrites",
    }
    assert found(tmp_path) == before
    done = write(tmp_path, force=True, **new)
    assert sorted(done.states.items()) == [
        ("edited.toml", "overwritten"),
        ("foreign.toml", "overwritten"),
        ("kept.toml", "unchanged"),
        ("older.toml", "overwritten"),
        ("other.toml", "overwritten"),
    ]
    assert {name: content for name, content in found(tmp_path).items() if name != "manifest.json"} == {
        name.replace("_", "."): content.encode() for name, content in new.items()
    }


def test_what_is_left_of_a_replaced_configuration_is_removed_by_force_alone(tmp_path: Path) -> None:
    write(tmp_path, best_toml="a", best_model_json="a", best_py="a", second_py="other", mine_py="x")
    (tmp_path / "best.csv").write_text("mine, and of no export")
    before = found(tmp_path)
    with pytest.raises(InputError) as caught:
        write(tmp_path, best_toml="b", best_model_json="a")
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: best.toml: would be written otherwise now; --force overwrites",
        f"{tmp_path}: best.py: of the export that this one replaces; --force removes",
    ]
    assert found(tmp_path) == before
    done = write(tmp_path, force=True, best_toml="b", best_model_json="a")
    assert done.states == {"best.toml": "overwritten", "best.model.json": "unchanged", "best.py": "removed"}
    after = found(tmp_path)
    assert before.keys() - after.keys() == {"best.py"}
    listed = manifest.parse_manifest(after["manifest.json"], "")
    assert listed.keys() == {"best.toml", "best.model.json", "second.py", "mine.py"}


def test_lower_ranks_of_a_ranking_that_has_changed_do_not_stay(tmp_path: Path) -> None:
    def export(best: int, *others: int, force: bool = False) -> WritePlan:
        ranks = {"best.toml": best, **{f"best_{rank}.toml": trial for rank, trial in enumerate(others, 2)}}
        files = {name: file(f"trial {trial}", trial=trial) for name, trial in ranks.items()}
        return folder.write_folder(tmp_path, files, force=force)

    export(27, 28, 2)
    folder.write_folder(tmp_path, {"trial_5.toml": file("dead", trial=5)}, force=False)
    assert export(27).states == {"best.toml": "unchanged"}, "the others were asked for once, and are what they were"
    with pytest.raises(InputError, match=r"best_2.toml, best_3.toml: of the export that this one replaces; --force"):
        export(28)
    done = export(28, force=True)
    assert done.states == {"best.toml": "overwritten", "best_2.toml": "removed", "best_3.toml": "removed"}
    assert found(tmp_path).keys() == {"best.toml", "trial_5.toml", "manifest.json"}


def test_another_format_replaces_what_was_written_in_the_first(tmp_path: Path) -> None:
    write(tmp_path, best_yaml="a", best_model_json="m", best_py="a")
    (tmp_path / "best.py").write_text("mine")
    with pytest.raises(InputError) as caught:
        write(tmp_path, best_json="a", best_model_json="m")
    assert str(caught.value) == (
        f"{tmp_path}: best.py, best.yaml: of the export that this one replaces, and edited since (best.py); "
        "--force removes"
    )
    done = write(tmp_path, force=True, best_json="a", best_model_json="m")
    assert {name for name, state in done.states.items() if state == "removed"} == {"best.yaml", "best.py"}
    assert found(tmp_path).keys() == {"best.json", "best.model.json", "manifest.json"}
    assert manifest.parse_manifest((tmp_path / "manifest.json").read_bytes(), "").keys() == {
        "best.json",
        "best.model.json",
    }


def test_a_module_of_the_same_configuration_stays(tmp_path: Path) -> None:
    write(tmp_path, best_toml="a", best_model_json="a", best_py="a")
    listed = (tmp_path / "manifest.json").read_bytes()
    (tmp_path / "best.model.json").unlink()
    (tmp_path / "best.toml").write_text("edited")
    write(tmp_path, force=True, best_toml="a", best_model_json="a")  # what people did is undone, nothing is replaced
    assert write(tmp_path, best_toml="a", best_model_json="a").files == {}
    assert ((tmp_path / "best.py").read_text(), (tmp_path / "manifest.json").read_bytes()) == ("a", listed)


def test_what_a_forged_manifest_names_elsewhere_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / "out" / "best.").mkdir(parents=True)
    forged = {"best./../../precious": file("x").entry, "../precious": file("x").entry}
    (tmp_path / "out" / "manifest.json").write_text(manifest.format_manifest(forged))
    write(tmp_path / "out", force=True, best_toml="a")
    assert (tmp_path / "precious").read_text() == "x"


def test_an_edit_that_is_what_would_be_written_is_no_reason_to_refuse(tmp_path: Path) -> None:
    write(tmp_path, best_toml="a")
    (tmp_path / "best.toml").write_text("b")
    write(tmp_path, best_toml="b")
    assert (
        manifest.parse_manifest((tmp_path / "manifest.json").read_bytes(), "")["best.toml"].sha256
        == sha256(b"b").hexdigest()
    )


@pytest.mark.parametrize("content", ["", "[]", '{"name": "a web app"}', '{"version": 1, "files": {"a": {}}}', "\xff"])
def test_a_manifest_of_something_else_is_not_overwritten_but_by_force(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"manifest.json: is no manifest of an export; --force overwrites it$"):
        write(tmp_path, best_toml="x")
    assert list(tmp_path.iterdir()) == [tmp_path / "manifest.json"]
    write(tmp_path, force=True, best_toml="x")
    assert "best.toml" in (tmp_path / "manifest.json").read_text()


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


def test_a_full_disk_leaves_the_folder_as_it_was(disk: Path) -> None:
    write(disk / "out", a_toml="old", b_toml="old")
    before = found(disk)
    for place, force in (("out", True), ("new/er", False)):
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); nothing was changed"):
            write(disk / place, force=force, a_toml="n" * 700_000, b_toml="w" * 700_000)
        assert found(disk) == before
        assert list(disk.iterdir()) == [disk / "out"]


def test_a_disk_that_is_read_only_is_one_line(disk: Path) -> None:
    write(disk, a_toml="old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\)"):
        write(disk, b_toml="new")
    assert write(disk, a_toml="old").states == {"a.toml": "unchanged"}


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that this process may not write to; root, who may write everywhere, is nobody meanwhile."""
    path = Path(mkdtemp(dir="/tmp"))  # pytest's own folders are closed to nobody
    path.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield path
    os.seteuid(user)
    shutil.rmtree(path)


def test_a_folder_that_cannot_be_written_is_one_line(locked: Path) -> None:
    for place in (locked, locked / "new"):
        with pytest.raises(InputError, match=r"cannot be written \(Permission denied\); nothing was changed"):
            write(place, best_toml="x")
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\); nothing was changed"):
        folder.check_folder(locked / "new" / "er")
    assert list(locked.iterdir()) == []


def test_a_folder_that_can_be_made_is_not_made_by_looking(tmp_path: Path) -> None:
    folder.check_folder(tmp_path)
    folder.check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="Not a directory"):
        folder.check_folder(tmp_path / "link")


def test_a_file_where_a_folder_is_to_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot be written \(Not a directory\)"):
            write(place, best_toml="x")
        with pytest.raises(InputError, match=r"cannot be written \(Not a directory\); nothing was changed$"):
            folder.check_folder(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_when_one_file_cannot_have_its_name_none_has(tmp_path: Path) -> None:
    write(tmp_path, a_toml="old", a_py="old")
    (tmp_path / "c.toml").mkdir()
    before = found(tmp_path)
    contents = {"a.toml": b"new", "a.py": None, "b.toml": b"new", "c.toml": b"no file can take a folder's name"}
    with pytest.raises(OSError, match=r"directory"):
        folder._write_files(tmp_path, contents)
    assert (found(tmp_path), sorted(each.name for each in tmp_path.iterdir())) == (
        before,
        ["a.py", "a.toml", "c.toml", "manifest.json"],
    )


def test_what_a_killed_export_left_is_cleared_and_a_running_one_is_not_disturbed(tmp_path: Path) -> None:
    (tmp_path / f"{folder.PARTIAL}1234").mkdir()
    write(tmp_path, a_toml="x")
    assert not list(tmp_path.glob(f"{folder.PARTIAL}*"))
    program = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InputError, match="another export is being written there; wait for it"):
            write(tmp_path, b_toml="y")
        other.communicate(b"\n")
    write(tmp_path, b_toml="y")


@pytest.fixture(autouse=True)
def _no_settings_of_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(where: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", where, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a commit on main, something in the index and something that is in neither."""
    path = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(path))
    git(path, "config", "user.name", "A Person")
    git(path, "config", "user.email", "person@example.com")
    (path / "train.py").write_text("print('training')\n")
    (path / "configs").mkdir()
    (path / "configs" / "own.toml").write_text("a = 1\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "-m", "First")
    (path / "train.py").write_text("print('edited')\n")
    git(path, "add", "train.py")
    (path / "configs" / "scratch").write_text("untracked")
    return path


def commit(path: Path, name: str = "sweeps", force: bool = False, **contents: str) -> branch.Commit:
    return branch.commit_files(path, name, files(**contents), ["Export study: trial 7", "", "best"], force=force)


def test_a_commit_adds_the_files_and_touches_neither_tree_nor_index(repository: Path) -> None:
    before, index = found(repository), (repository / ".git" / "index").read_bytes()
    head = git(repository, "rev-parse", "HEAD")
    done = commit(repository / "configs" / "selu", best_toml="x", best_py="y")
    assert git(repository, "rev-parse", "sweeps") == done.sha
    assert git(repository, "rev-parse", "sweeps^") == head
    assert done.parent == f"HEAD, {head[:9]}"
    assert git(repository, "diff", "--name-status", "main", "sweeps").split() == [
        *("A", "configs/selu/best.py", "A", "configs/selu/best.toml", "A", "configs/selu/manifest.json")
    ]
    assert git(repository, "show", "sweeps:configs/selu/best.toml") == "x"
    assert git(repository, "log", "-1", "--format=%B", "sweeps") == "Export study: trial 7\n\nbest"
    assert (found(repository), (repository / ".git" / "index").read_bytes()) == (before, index)
    assert git(repository, "rev-parse", "HEAD") == head
    git(repository, "fsck", "--strict")


def test_the_same_again_is_no_commit_and_a_second_follows_the_first(repository: Path) -> None:
    first = commit(repository / "configs", best_toml="x")
    again = commit(repository / "configs", best_toml="x")
    assert (again.sha, git(repository, "rev-parse", "sweeps")) == ("", first.sha)
    second = commit(repository / "configs", second_toml="y")
    assert second.parent == f"its tip {first.sha[:9]}"
    assert git(repository, "rev-list", "main..sweeps").split() == [second.sha, first.sha]
    assert git(repository, "ls-tree", "-r", "--name-only", "sweeps").split() == [
        *("configs/best.toml", "configs/manifest.json", "configs/own.toml", "configs/second.toml", "train.py")
    ]


def test_what_people_changed_on_the_branch_is_overwritten_by_force_alone(repository: Path) -> None:
    commit(repository / "configs", best_toml="x")
    git(repository, "stash", "--quiet")
    git(repository, "checkout", "--quiet", "sweeps")
    (repository / "configs" / "best.toml").write_text("mine")
    git(repository, "commit", "--quiet", "-am", "Mine")
    git(repository, "checkout", "--quiet", "main")
    tip = git(repository, "rev-parse", "sweeps")
    with pytest.raises(InputError, match=r"^sweeps:configs/: best.toml: edited since the export; --force overwrites$"):
        commit(repository / "configs", best_toml="x")
    with pytest.raises(InputError, match=r"own.toml: there already, and not of an export"):
        commit(repository / "configs", own_toml="x")
    assert git(repository, "rev-parse", "sweeps") == tip
    commit(repository / "configs", force=True, best_toml="x")
    assert git(repository, "show", "sweeps:configs/best.toml") == "x"


def test_what_is_left_of_a_replaced_configuration_leaves_the_branch_too(repository: Path) -> None:
    first = commit(repository, best_yaml="x", best_py="x", other_py="y")
    with pytest.raises(InputError, match=r"^sweeps:: best.py, best.yaml: of the export .* --force removes$"):
        commit(repository, best_toml="z")
    assert git(repository, "rev-parse", "sweeps") == first.sha
    second = commit(repository, force=True, best_toml="z")
    assert git(repository, "diff", "--name-status", "--no-renames", first.sha, second.sha).split() == [
        *("D", "best.py", "A", "best.toml", "D", "best.yaml", "M", "manifest.json")
    ]
    assert manifest.parse_manifest(git(repository, "show", "sweeps:manifest.json").encode(), "").keys() == {
        *("best.toml", "other.py")
    }
    git(repository, "fsck", "--strict")


def test_a_branch_that_is_checked_out_anywhere_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--commit main: is checked out in .*repository, whose files would look"):
        commit(repository, "main", best_toml="x")
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "second"), "-b", "other")
    with pytest.raises(InputError, match=r"--commit other: is checked out in .*second"):
        commit(repository, "other", best_toml="x")
    commit(tmp_path / "second" / "out", best_toml="x")
    assert git(repository, "show", "sweeps:out/best.toml") == "x"


def test_a_bare_repository_gets_a_commit_too_and_an_empty_one_its_first(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    git(bare, "config", "user.name", "A Person")
    git(bare, "config", "user.email", "person@example.com")
    before = {each.name for each in bare.iterdir()}
    commit(bare / "configs", "main", best_toml="x")  # no working tree shows it
    assert git(bare, "show", "main:configs/best.toml") == "x"
    assert {each.name for each in bare.iterdir()} == before
    empty = tmp_path / "empty"
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(empty))
    git(empty, "config", "user.name", "A Person")
    git(empty, "config", "user.email", "person@example.com")
    done = commit(empty, best_toml="x")
    assert done.parent == "nothing: the repository is empty"
    assert git(empty, "rev-list", "--count", "sweeps") == "1"


def test_a_branch_that_moves_meanwhile_is_left_as_it_is(repository: Path) -> None:
    """Whoever moves it does so when the commit is written, right before the branch is to have it."""
    commit(repository, best_toml="x")
    main = git(repository, "rev-parse", "main")
    moved = repository / ".git" / "moved"
    mover = repository.parent / "bin"
    mover.mkdir()
    real = shutil.which("git")
    (mover / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *update-ref*) [ -e "{moved}" ] || {{ touch "{moved}"; "{real}" -C "{repository}" '
        f'update-ref refs/heads/sweeps {main}; }} ;; esac\nexec "{real}" "$@"\n'
    )
    (mover / "git").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{mover}:{os.environ['PATH']}")
        with pytest.raises(SweepsError, match=r"branch 'sweeps' has moved meanwhile, and was left as it is"):
            commit(repository, second_toml="y")
    assert git(repository, "rev-parse", "sweeps") == main


def test_git_s_refusals_are_one_line_with_the_mend(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(InputError, match=r"--commit: not a git repository.*; name a folder in a git repository"):
        commit(tmp_path / "elsewhere" / "out", best_toml="x")
    with pytest.raises(InputError, match=r"inside of git's own folder"):
        commit(repository / ".git" / "out", best_toml="x")
    for name in ("-x", "a..b", "HEAD", "a b", ""):
        with pytest.raises(InputError, match=rf"--commit {name}: is no name of a branch"):
            commit(repository, name, best_toml="x")
    (repository / "train.py").unlink()  # it is in the commit still
    for place in ("train.py", "train.py/below"):
        with pytest.raises(InputError, match=r"train.py is no folder in [0-9a-f]{9}; name another with --to"):
            commit(repository / place, best_toml="x")
    with pytest.raises(InputError, match=r"configs is no file in [0-9a-f]{9}"):
        commit(repository, configs="x")
    git(repository, "config", "--unset", "user.name")
    git(repository, "config", "--unset", "user.email")
    git(repository, "config", "user.useConfigOnly", "true")
    with pytest.raises(InputError, match=r"say who commits with git config user.name and user.email$"):
        commit(repository, best_toml="x")
    assert git(repository, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_git_that_is_not_installed_is_one_line(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="--commit needs git, which is not installed here"):
        commit(repository, best_toml="x")


def test_a_hook_s_environment_sends_no_commit_astray(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    index = (repository / ".git" / "index").read_bytes()
    done = commit(repository, best_toml="x")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(repository, "rev-parse", "sweeps") == done.sha
    assert (repository / ".git" / "index").read_bytes() == index
