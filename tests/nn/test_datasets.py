"""Keras's data sets: its own loaders on files of its own formats, made here; nothing is downloaded."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.errors import InputError
from sweeps.nn import datasets

Shapes = tuple[tuple[int, ...], tuple[int, ...]]  # of images and their labels


def idx(array: np.ndarray) -> bytes:
    """A file as LeCun's digits and Fashion-MNIST have it: a header, then bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def test_fashion_mnist_is_read_from_keras_s_cache(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 28, 28)), np.arange(300) % 10
    for name, array in {
        "train-images-idx3-ubyte.gz": images[:200],
        "train-labels-idx1-ubyte.gz": labels[:200],
        "t10k-images-idx3-ubyte.gz": images[200:],
        "t10k-labels-idx1-ubyte.gz": labels[200:],
    }.items():
        (folder / name).write_bytes(idx(array))
    program = (
        "import numpy as np\n"
        "from sweeps.config import DataConfig\n"
        "from sweeps.nn.datasets import load_dataset\n"
        "config = DataConfig(source='fashion_mnist', classes=10, images=60000, image_size=28)\n"
        "arrays = load_dataset(config, 100)\n"
        "np.savez('read.npz', arrays.train_images, arrays.train_labels, arrays.holdout_images, arrays.holdout_labels)\n"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    read = list(np.load(tmp_path / "read.npz").values())
    assert np.array_equal(read[0], images[:200, :, :, None])
    assert np.array_equal(read[1], labels[:200])
    assert np.array_equal(read[2], images[200:, :, :, None])
    assert np.array_equal(read[3], labels[200:])


@pytest.mark.parametrize(
    ("source", "train", "kept", "values"),
    [
        ("cifar10", ((80, 32, 32, 3), (80, 1)), ((70, 32, 32, 3), (70, 1)), {"classes": 10, "image_size": 32}),
        ("boston_housing", ((404, 13), (404,)), ((102, 13), (102,)), {"task": "regression"}),
        ("california_housing", ((500, 8), (500,)), ((120, 8), (120,)), {"task": "regression"}),
    ],
)
def test_what_keras_s_loaders_return_is_taken(
    source: str, train: Shapes, kept: Shapes, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)

    def part(images: tuple[int, ...], labels: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        if source == "cifar10":
            return rng.integers(0, 256, images, dtype=np.uint8), (np.arange(labels[0]) % 10).reshape(labels)
        return rng.normal(size=images), rng.normal(20, 9, labels)

    made = part(*train), part(*kept)
    monkeypatch.setitem(datasets.DATASETS, source, lambda: made)
    datasets.load_dataset.cache_clear()
    arrays = datasets.load_dataset(DataConfig(source=source, images=train[0][0], **values), 64)
    datasets.load_dataset.cache_clear()
    assert arrays.input_shape == train[0][1:]
    assert arrays.train_labels.shape == train[0][:1]
    assert len(arrays.holdout_images) == 64
    if source != "cifar10":
        mean, spread = made[0][1].mean(), made[0][1].std()
        assert np.allclose(arrays.train_labels, (made[0][1] - mean) / spread, atol=1e-5)


def test_without_file_and_network_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network() -> None:
        raise Exception("URL fetch failure on https://example.org/x.gz: None -- Name or service not known")

    monkeypatch.setitem(datasets.DATASETS, "cifar10", no_network)
    config = DataConfig(source="cifar10", classes=10, images=100, image_size=32)
    with pytest.raises(InputError, match=r"cifar10: neither in .*datasets nor to be fetched \(URL fetch failure"):
        datasets.load_dataset(config, 64)
