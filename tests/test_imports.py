"""Keras without what it imports for others: quicker, and no worse for those who need it."""

import re
import subprocess
import sys
from pathlib import Path

import fakes
import pytest

pytestmark = pytest.mark.tensorflow

NET = """
import sys
import keras

others = {"sklearn", "matplotlib"} & set(sys.modules)
assert not others, others

def build(config):
    import matplotlib.pyplot, sklearn.datasets
    layers = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential(layers)
"""
QUICKLY = """
import gc, sys
from sweeps.imports import quickly
with quickly():
    assert not gc.isenabled()
    try:
        import sklearn
    except ImportError:
        pass
    else:
        raise AssertionError("seems to be installed")
assert gc.isenabled()
import matplotlib, sklearn
with quickly():
    import sklearn.base  # is here already
gc.disable()
with quickly():
    pass
assert not gc.isenabled()
"""


def test_packages_are_hidden_and_garbage_stays_only_meanwhile() -> None:
    subprocess.run([sys.executable, "-c", QUICKLY], check=True)


def test_what_trains_holds_keras_alone_and_a_net_of_a_user_has_the_rest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    text = re.sub(r"\[model\].*?\n\n", '[model]\nbuild = "net:build"\n\n', fakes.TINY, flags=re.DOTALL)
    (tmp_path / "tiny.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "sweeps", "rehearse", "tiny.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
