"""Checkpoints: every bit comes back or none does, and what happens to the process or the disk does no harm."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import fakes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.artifacts.checkpoints import Checkpoint, Checkpoints
from sweeps.artifacts.locations import Folder
from sweeps.config import Config
from sweeps.readings import ChannelVitals, IncomingWeights, LayerVitals, Reading

numbers = st.floats()  # all there are: not a number, both infinities and zeros, subnormal ones
rows = st.lists(numbers, max_size=3).map(tuple)
counts = st.integers(0, 2**63)
layers = st.builds(
    LayerVitals,
    name=st.text(),
    mean=numbers,
    std=numbers,
    signal=numbers,
    dead=numbers,
    gradient_norm=numbers,
    update_ratio=numbers,
    saturated=numbers,
    weights=st.none() | st.builds(IncomingWeights, *[numbers] * 5),
    channels=st.none() | st.builds(ChannelVitals, rows, rows, rows),
)
readings = st.builds(
    Reading,
    step=counts,
    train_loss=numbers,
    loss=numbers,
    hits1=counts,
    hits5=counts,
    count=counts,
    gradient_norm=numbers,
    update_ratio=numbers,
    finite=st.booleans(),
    seconds=numbers,
    layers=st.lists(layers, max_size=2).map(tuple),
    f1=numbers,
    loss_std=numbers,
    passes=numbers,
    batch_loss=numbers,
)
checkpoints = st.builds(
    Checkpoint, config=st.text(), step=counts, readings=st.lists(readings, max_size=3).map(tuple), state=st.binary()
)
LOGITS = LayerVitals("logits", 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
EQUAL = replace(
    fakes.reading(4), layers=(LOGITS,), f1=0.0, loss_std=0.0, passes=0.0, batch_loss=0.0
)  # to itself: no NaN
SMALL = Checkpoint(config=Config.model_validate({}).to_json(), step=4, readings=(EQUAL,), state=b"weights")
OVERWRITER = """
import sys
from pathlib import Path
from sweeps.artifacts.checkpoints import Checkpoint, Checkpoints
from sweeps.artifacts.locations import Folder

kept = Checkpoints(Folder(Path(sys.argv[1])), "tiny")
for step in range(1, 1_000_000):
    kept.save(0, Checkpoint("{}", step, (), step.to_bytes(8, "big") * 50_000))
"""


@given(checkpoints)
def test_every_bit_comes_back(checkpoint: Checkpoint) -> None:
    # repr, since not-a-number equals nothing; it is different for each other number, and for 0 and -0
    assert repr(Checkpoint.from_bytes(checkpoint.to_bytes())) == repr(checkpoint)


def test_what_is_no_number_and_what_has_no_end_come_back() -> None:
    odd = replace(fakes.reading(2), loss=nan, train_loss=inf, gradient_norm=-inf, update_ratio=5e-324, seconds=-0.0)
    back = Checkpoint.from_bytes(replace(SMALL, readings=(odd,)).to_bytes())
    assert repr(back.readings) == repr((odd,))


@given(st.integers(1, 255))
def test_a_byte_that_is_another_is_recognised_wherever_it_is(difference: int) -> None:
    content = SMALL.to_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= difference
        with pytest.raises(ValueError, match="checkpoint"):
            Checkpoint.from_bytes(bytes(damaged))


def test_a_file_that_is_cut_anywhere_is_recognised() -> None:
    content = SMALL.to_bytes()
    for length in range(len(content)):
        with pytest.raises(ValueError, match="checkpoint"):
            Checkpoint.from_bytes(content[:length])


@given(st.binary(min_size=1))
def test_a_file_that_goes_on_is_recognised(more: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Checkpoint.from_bytes(SMALL.to_bytes() + more)


@given(st.binary(max_size=200))
def test_any_other_file_is_recognised(content: bytes) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        Checkpoint.from_bytes(content)


def test_readings_of_a_later_sweeps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Reading, "to_dict", lambda _: {"step": 0, "layers": [], "hits7": 3})
        content = SMALL.to_bytes()
    with pytest.raises(ValueError, match="another version"):
        Checkpoint.from_bytes(content)


def test_a_trial_goes_on_where_it_was(tmp_path: Path) -> None:
    kept = Checkpoints(Folder(tmp_path), "tiny")
    assert kept.load(3, SMALL.config) is None
    kept.save(3, SMALL)
    kept.save(3, replace(SMALL, step=6))
    kept.save(4, SMALL)
    assert kept.load(3, SMALL.config) == replace(SMALL, step=6)
    assert sorted(tmp_path.rglob("*.ckpt")) == [
        tmp_path / "checkpoints" / "tiny" / "3.ckpt",
        tmp_path / "checkpoints" / "tiny" / "4.ckpt",
    ]
    kept.remove(3)
    kept.remove(3)
    assert kept.load(3, SMALL.config) is None
    assert kept.load(4, SMALL.config) == SMALL


def test_a_trial_of_another_config_starts_over(tmp_path: Path) -> None:
    kept = Checkpoints(Folder(tmp_path), "tiny")
    kept.save(0, SMALL)
    assert kept.load(0, Config.model_validate({"seed": 1}).to_json()) is None
    assert kept.load(0, SMALL.config) == SMALL


def test_a_damaged_checkpoint_lets_the_trial_start_over(tmp_path: Path) -> None:
    kept = Checkpoints(Folder(tmp_path), "tiny")
    kept.save(0, SMALL)
    (path,) = tmp_path.rglob("*.ckpt")
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.load(0, SMALL.config) is None
    kept.save(0, SMALL)
    assert kept.load(0, SMALL.config) == SMALL


def test_a_place_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").symlink_to("checkpoints")
    with pytest.raises(OSError, match="symbolic links"):
        Checkpoints(Folder(tmp_path), "tiny").load(0, SMALL.config)


class Names:
    """A place that only notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(self, name: str, content: bytes) -> None:  # noqa: ARG002
        self.asked.append(name)

    def read(self, name: str) -> bytes | None:
        self.asked.append(name)
        return None

    def remove(self, name: str) -> None:
        self.asked.append(name)


def file_name(study: str) -> str:
    """Where the checkpoint of a study's trial 0 lies."""
    names = Names()
    Checkpoints(names, study).remove(0)
    return names.asked[0]


@given(st.text(st.characters()) | st.text("aA./%=", max_size=4) | st.text("aé\n", min_size=80, max_size=300))
def test_every_study_has_a_name_that_any_file_system_takes(study: str) -> None:
    top, folder, last = file_name(study).split("/")
    assert (top, last) == ("checkpoints", "0.ckpt")
    assert folder not in ("", ".", "..")
    assert len(folder) <= 255
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEF0123456789_-%=")


names = st.text("aA./%=41", max_size=4) | st.text("aé", min_size=125, max_size=130) | st.text()


@given(names, names)
def test_no_two_studies_share_a_name(one: str, other: str) -> None:
    same = file_name(one).casefold() == file_name(other).casefold()  # some file systems know no capital letters
    assert same == (one == other)


@pytest.mark.parametrize("study", ["", ".", "..", "../../x", "/etc", "a/b", "é\n %", "x" * 1000, "Ω" * 255, "\udcff"])
def test_studies_of_any_name_keep_their_own(study: str, tmp_path: Path) -> None:
    place = Folder(tmp_path / "inner")
    Checkpoints(place, "other").save(0, SMALL)
    Checkpoints(place, study).save(0, replace(SMALL, step=5))
    assert Checkpoints(place, study).load(0, SMALL.config) == replace(SMALL, step=5)
    assert Checkpoints(place, "other").load(0, SMALL.config) == SMALL
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_a_process_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    kept, chance, last = Checkpoints(Folder(tmp_path), "tiny"), random.Random(0), 0
    for _ in range(8):
        kept.remove(0)
        with subprocess.Popen([sys.executable, "-c", OVERWRITER, str(tmp_path)]) as process:
            while kept.load(0, "{}") is None:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        found = kept.load(0, "{}")
        assert found is not None
        assert found.state == found.step.to_bytes(8, "big") * 50_000
        last = max(last, found.step)
    assert last > 1
    kept.save(0, SMALL)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["0.ckpt"]
