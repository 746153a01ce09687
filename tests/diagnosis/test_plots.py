"""Pictures: what is drawn from readings that are whole, lacking or no numbers; what is refused."""

import errno
import os
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import reading
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from sweeps.diagnosis import plots
from sweeps.errors import InputError
from sweeps.readings import ChannelVitals, Reading
from sweeps.verdict import Chance

CHANCE = Chance(0.1, 0.5, 2.3, 10)
REGRESSION = Chance(nan, nan, 1.0, 0)
READINGS = [reading(step, loss=2.3 - step / 100, signal=10.0**-step) for step in (0, 2, 4, 8, 30)]


def colours(path: Path) -> int:
    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def deep(layers: int) -> list[Reading]:
    vitals = READINGS[0].layers[0]
    named = tuple(replace(vitals, name=f"convolution_{index}") for index in range(layers))
    return [replace(each, layers=named) for each in READINGS]


LACKING = {
    "room for names": [replace(each, layers=(replace(each.layers[0], name="x" * 300),)) for each in READINGS],
    "one look": READINGS[:1],
    "no layers": [replace(each, layers=()) for each in READINGS],
    "no numbers": [reading(step, loss=nan, signal=nan) for step in (0, 2, 4)],
    "nothing measured": [replace(each, count=0, hits1=0, loss=nan) for each in READINGS],
    "a loss beyond all bounds": [reading(0), reading(2, loss=1e30), reading(4, loss=inf)],
    "no signal at all": [reading(step, signal=0.0) for step in (0, 2)],
}


@pytest.mark.parametrize("readings", LACKING.values(), ids=LACKING)
def test_an_autopsy_is_drawn_whatever_is_lacking(readings: list[Reading], tmp_path: Path) -> None:
    path = tmp_path / "autopsy.png"
    plots.draw_autopsy(readings, CHANCE, "a title", path)
    assert colours(path) > 10


@pytest.mark.parametrize("chance", [REGRESSION, Chance(nan, nan, nan, 10)], ids=["regression", "unknown chance"])
@pytest.mark.parametrize("readings", [READINGS, LACKING["no numbers"]], ids=["whole", "no numbers"])
def test_an_autopsy_is_drawn_for_numbers_and_without_chance(
    readings: list[Reading], chance: Chance, tmp_path: Path
) -> None:
    path = tmp_path / "autopsy.png"
    plots.draw_autopsy(readings, chance, "a title", path)
    assert colours(path) > 10


def test_an_autopsy_names_chance_and_every_layer(tmp_path: Path) -> None:
    path = tmp_path / "autopsy.svg"
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plots.draw_autopsy(deep(25), CHANCE, "study, trial 3: cut off", path)
    text = path.read_text()
    assert all(f">convolution_{index}<" in text for index in range(25))
    assert text.count(">chance<") == 2
    assert "study, trial 3: cut off" in text


def test_each_look_in_the_map_is_as_wide_as_it_is_far_from_the_next() -> None:
    assert plots._compute_edges([0, 2, 4, 8, 30]).tolist() == [-1, 1, 3, 6, 19, 41]
    assert plots._compute_edges([5]).tolist() == [4.5, 5.5]


@pytest.mark.parametrize("name", ["no/folder/x.png", "x.nonsense"])
def test_a_file_that_cannot_be_written_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--to .*{name}: "):
        plots.draw_autopsy(READINGS, CHANCE, "a title", tmp_path / name)
    with pytest.raises(InputError, match=f"--to .*{name}: "):
        plots.draw_vitals(READINGS, "a title", tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_replaces_pictures_of_ours_alone(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    for _ in range(2):
        plots.draw_autopsy(READINGS, CHANCE, "a title", path)
    foreign = tmp_path / f"thesis{suffix}"
    foreign.write_bytes(b"a year of work")
    link = tmp_path / f"link{suffix}"
    link.symlink_to(foreign)
    for kept in (foreign, link):
        with pytest.raises(InputError, match="no picture of sweeps"):
            plots.draw_vitals(READINGS, "a title", kept)
    assert foreign.read_bytes() == b"a year of work"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([path.name, foreign.name, link.name])


def test_a_picture_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.png"
    plots.draw_autopsy(READINGS, CHANCE, "a title", path)
    before = path.read_bytes()

    def half(_: Any, to: Path, **options: Any) -> None:
        to.write_bytes(before[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FigureCanvasAgg, "print_png", half)
    with pytest.raises(InputError, match="no space is left"):
        plots.draw_autopsy(READINGS, CHANCE, "another title", path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_vitals_are_drawn_with_channels_and_without(tmp_path: Path) -> None:
    channels = ChannelVitals((-1.0, 0.0), (2.0, nan), (0.5, 0.0))
    each = [
        replace(look, layers=tuple(replace(layer, channels=channels) for layer in look.layers)) for look in READINGS
    ]
    plots.draw_vitals(READINGS, "without", tmp_path / "without.png")
    plots.draw_vitals(each, "with", tmp_path / "with.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()
