"""Fashion-MNIST as Debian packages it, read by Keras's own loader and learnt by our preset for a few steps."""

import json
import os
from pathlib import Path

import pytest
from commands import run_sweeps
from servers import REQUIRED

FILES = Path("/usr/share/datasets/fashion-mnist")
ROOT = Path(__file__).parents[2]
SHORT = [
    "model.dense=4",
    "space.activation=selu",
    "data.images=12_000",
    "budget.epochs=2",
    "budget.epoch_images=6_000",
    "budget.trials=1",
    "budget.holdout_images=2_000",
]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_preset_learns_fashion_mnist(tmp_path: Path) -> None:
    if not FILES.is_dir():
        assert not os.environ.get(REQUIRED), "install Debian's dataset-fashion-mnist"
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "fashion-mnist").symlink_to(FILES)
    words = [word for setting in SHORT for word in ("--set", setting)]
    preset = ROOT / "search_spaces" / "snn_fashion_mnist.toml"
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    done = run_sweeps("run", str(preset), "--workers", "1", *words, cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    status = json.loads(run_sweeps("status", "snn_fashion_mnist", "--json", cwd=tmp_path).stdout)
    assert status["fates"] == {"learned": 1}
    # The classes are balanced in the files: guessing is right once in ten times.
    assert status["chance_top1"] == pytest.approx(0.1, abs=0.01)
    assert status["best"]["top1"] > 0.7
