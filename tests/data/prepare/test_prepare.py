"""Stores made of real trees, with damaged files, stopped runs and full disks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run_sweeps
from image_trees import class_folders, places365_lists
from PIL import Image

from sweeps.data.image_cache import StoreInfo, open_split
from sweeps.data.prepare import Options, describe, prepare
from sweeps.data.prepare.decode import decode_image
from sweeps.errors import InputError


def make(source: Path, target: Path, **options: Any) -> StoreInfo:
    chosen = {"layout": "folders", "size": 16, "grey": True, **options}
    return prepare(source, target, Options(**chosen), lambda *_: None)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("grey", [True, False])
def test_every_row_is_its_file_decoded(tmp_path: Path, grey: bool, processes: int) -> None:
    source = class_folders(tmp_path / "tree")
    info = make(source, tmp_path / "store", grey=grey, processes=processes)
    assert info == StoreInfo.read_from(tmp_path / "store")
    assert info.shape == (16, 16, 1 if grey else 3)
    for split, folder in (("train", "train"), ("holdout", "val")):
        files = sorted((source / folder).rglob("*.jpg"))
        images, labels = open_split(tmp_path / "store", info, split)
        assert isinstance(images, np.memmap)
        assert [info.classes[label] for label in labels] == [file.parent.name for file in files]
        assert np.array_equal(images, [decode_image(file.read_bytes(), 16, grey) for file in files])
    assert not (tmp_path / "store.partial").exists()
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "holdout-images.npy", "holdout-labels.npy", "skipped.tsv", "store.json", "train-images.npy", "train-labels.npy"
    ]  # fmt: skip


def test_file_lists_give_the_same_store_as_folders(tmp_path: Path) -> None:
    make(class_folders(tmp_path / "a"), tmp_path / "a_store")
    make(places365_lists(tmp_path / "b"), tmp_path / "b_store", layout="places365-lists")
    for name in ("train-images.npy", "train-labels.npy", "holdout-images.npy", "holdout-labels.npy"):
        assert (tmp_path / "a_store" / name).read_bytes() == (tmp_path / "b_store" / name).read_bytes()


def damage(source: Path) -> set[str]:
    """Spoil some training files, the last one among them; what is expected to be left out."""
    folder = source / "train" / "class_01"
    whole = (folder / "00002.jpg").read_bytes()
    (folder / "00002.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "00003.jpg").write_text("this is a text file\n")
    (folder / "00004.jpg").write_bytes(b"")
    last = source / "train" / "class_02" / "00007.jpg"
    last.write_bytes(b"\xff\xd8\xff\xe0")
    return {str(path.relative_to(source)) for path in [*(folder / f"0000{n}.jpg" for n in (2, 3, 4)), last]}


def test_damaged_files_are_listed_and_left_out_and_the_rest_is_whole(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree", train=8)
    bad = damage(source)
    info = make(source, tmp_path / "store", skip_limit=0.5)
    assert info.splits["train"].images == 24 - 4
    assert info.origin["skipped"] == 4
    lines = (tmp_path / "store" / "skipped.tsv").read_text().splitlines()[1:]
    assert {line.split("\t")[1] for line in lines} == bad
    assert all(line.split("\t")[2] for line in lines)
    images, labels = open_split(tmp_path / "store", info, "train")
    assert np.bincount(labels).tolist() == [8, 5, 7]
    files = [file for file in sorted((source / "train").rglob("*.jpg")) if str(file.relative_to(source)) not in bad]
    there = {(image.tobytes(), info.classes[label]) for image, label in zip(images, labels, strict=True)}
    assert there == {(decode_image(file.read_bytes(), 16, True).tobytes(), file.parent.name) for file in files}
    assert describe.damaged_files(tmp_path / "store") == []


def test_too_many_damaged_files_are_an_error_and_a_higher_limit_goes_on_without_decoding_again(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree")
    damage(source)
    with pytest.raises(InputError, match=r"4 of 36 files cannot be decoded, more than --skip-limit 0.1; .*skipped.tsv"):
        make(source, tmp_path / "store", skip_limit=0.1)
    assert not (tmp_path / "store").exists()
    seen: list[tuple[int, int, int]] = []
    options = Options("folders", 16, True, skip_limit=0.2)
    prepare(source, tmp_path / "store", options, lambda *numbers: seen.append(numbers))
    assert seen == [(36, 36, 4)]


def list_children(process: int) -> list[int]:
    """The processes that a process has started."""
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in shown.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == process]


def assert_ended(processes: list[int], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        shown = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
        alive = {int(line.split()[0]) for line in shown.splitlines() if not line.split()[1].startswith("Z")}
        if not alive & set(processes):
            return
        time.sleep(0.2)
    raise AssertionError(f"{alive & set(processes)} outlived the process that started them")


def test_a_run_that_is_killed_goes_on_where_it_was_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree", classes=3, train=500, holdout=100)
    damage(source)
    command = [sys.executable, "-m", "sweeps", "data", "prepare", str(source), "--to", "store", "--layout", "folders"]
    command += ["--size", "32", "--grey", "--processes", "1"]
    make(source, tmp_path / "undisturbed", size=32)
    journal, kills = tmp_path / "store.partial" / "done.jsonl", 0
    for wanted in (1, 3):  # chunks noted before the kill
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if journal.exists() and journal.read_text().count("{") >= wanted:
                started = list_children(process.pid)
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                assert_ended(started)
                break
            time.sleep(0.001)
    assert kills
    assert not (tmp_path / "store").exists()
    with journal.open("a") as file:
        file.write('\n{"split": "tra')  # as a power cut leaves it
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "1,796 train" not in done.stderr
    assert "1,496 train and 300 holdout images of 3 classes" in done.stdout
    for name in ("train-images.npy", "train-labels.npy", "holdout-images.npy", "holdout-labels.npy"):
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_store_cut_before_its_renaming_is_finished_by_the_same_command(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree")
    damage(source)
    make(source, tmp_path / "store", skip_limit=0.5)
    whole = (tmp_path / "store" / "train-images.npy").read_bytes()
    partial = tmp_path / "store.partial"
    options = Options("folders", 16, True, skip_limit=0.5)
    (tmp_path / "store").rename(tmp_path / "first")
    blocked = tmp_path / "store"

    def block(*_: int) -> None:
        blocked.mkdir(exist_ok=True)
        (blocked / "in the way").touch()

    with pytest.raises(InputError, match="is complete, move it yourself"):
        prepare(source, blocked, options, block)
    assert (partial / "store.json").exists()
    (blocked / "in the way").unlink()
    blocked.rmdir()
    make(source, blocked, skip_limit=0.5)
    assert (blocked / "train-images.npy").read_bytes() == whole


def test_a_folder_begun_otherwise_is_not_mixed_with_this(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree")
    damage(source)
    with pytest.raises(InputError, match="skip-limit"):
        make(source, tmp_path / "store")
    with pytest.raises(InputError, match=r"store.partial: begun with another size; remove it"):
        make(source, tmp_path / "store", size=24)
    (source / "train" / "class_00" / "new.jpg").touch()
    with pytest.raises(InputError, match="begun with another listing_sha256"):
        make(source, tmp_path / "store")


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree")
    with pytest.raises(InputError, match="no such folder"):
        make(tmp_path / "nowhere", tmp_path / "store")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is there already"):
        make(source, tmp_path / "there")
    with pytest.raises(InputError, match=r"GB are needed and .* GB free; make room"):
        make(source, tmp_path / "huge", size=2**22)
    for file in (source / "val").rglob("*.jpg"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="no holdout image can be decoded"):
        make(source, tmp_path / "store", skip_limit=1.0)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = class_folders(tmp_path / "tree")
    real = os.pwrite

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InputError, match="No space left on device; correct that and run the same command"):
        make(source, tmp_path / "store")
    monkeypatch.setattr(os, "pwrite", real)
    assert make(source, tmp_path / "store").splits["train"].images == 24


def test_info_counts_what_is_there(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tree", classes=3, train=8, holdout=4)
    (source / "val" / "class_01" / "00008.jpg").unlink()
    make(source, tmp_path / "store", grey=False)
    shown = run_sweeps("data", "info", "store", "--json", "--picture", "sheet.png", "--verify", cwd=tmp_path)
    values = json.loads(shown.stdout)
    shares = np.array([4, 3, 4]) / 11
    assert values["holdout"]["images"] == 11
    assert values["holdout"]["fewest_class"] == "class_01"
    assert values["holdout"]["chance_top1"] == pytest.approx(4 / 11)
    assert values["holdout"]["entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    images = np.load(tmp_path / "store" / "train-images.npy") / 255
    assert values["train"]["mean"] == pytest.approx(images.mean(axis=(0, 1, 2)), abs=1e-4)
    assert values["train"]["spread"] == pytest.approx(images.std(axis=(0, 1, 2)), abs=1e-4)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * 18, 8 * 18, 3)
    assert np.array_equal(sheet[1:17, 1:17], np.load(tmp_path / "store" / "train-images.npy")[0])


def test_a_store_that_was_tampered_with_is_told(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make(class_folders(tmp_path / "tree"), store)
    images = np.load(store / "train-images.npy", mmap_mode="r+")
    images[0, 0, 0, 0] ^= 1
    images.flush()
    assert describe.damaged_files(store) == ["train-images.npy"]


def begun(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether a store is being made: its journal is there."""
    return (folder / "store.partial" / "done.jsonl").exists()


def decoding(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether both decoding processes are there, beside the one that keeps their semaphores; they still import."""
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) == 3


def interrupted(
    command: list[str], folder: Path, when: Callable[[subprocess.Popen[str], Path], bool]
) -> tuple[int, str]:
    """Begin to make a store and press Ctrl-C in a certain moment; the exit code and what was said."""
    hearing = ["env", "--default-signal=INT", *command]  # what was begun in the background ignores Ctrl-C
    process = subprocess.Popen(hearing, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not when(process, folder):
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the decoding processes too
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("when", [begun, decoding])
def test_ctrl_c_stops_between_chunks_and_the_same_command_goes_on(
    tmp_path: Path, when: Callable[[subprocess.Popen[str], Path], bool]
) -> None:
    class_folders(tmp_path / "tree", classes=3, train=500, holdout=100)
    command = [sys.executable, "-m", "sweeps", "data", "prepare", "tree", "--to", "store", "--layout", "folders"]
    command += ["--size", "32", "--processes", "2"]
    for _ in range(10):  # it may be done before the signal comes
        code, said = interrupted(command, tmp_path, when)
        if code:
            break
        shutil.rmtree(tmp_path / "store")
    assert code == 130, said
    assert "stopped; the same command goes on from here" in said
    assert "Traceback" not in said
    assert not (tmp_path / "store").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "1,500 train and 300 holdout images" in done.stdout
