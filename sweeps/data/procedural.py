"""Procedural images: as many classes, images and pixels as asked for, made on the spot from a seed.

A class is a scene of two gratings and a disc. Its images differ in phase, angle, place and noise.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays

# Random streams.
CLASSES = 0
TRAINING = 1
HOLDOUT = 2
ORIENTATION_JITTER = 0.08  # rad; standard deviation
DISC_JITTER = 0.03  # of the side; standard deviation of the centre, and a third of it of the radius
CHUNK_PIXELS = 2**18  # a chunk's float32 temporaries are 1 MiB each: they fit the cache, and memory stays bounded


@dataclass(frozen=True, slots=True)
class Scenes:
    """The content of n images; lengths in units of the side, brightness from 0 (black) to 1 (white).

    Attributes:
        frequency: of the two gratings, cycles per side; float32, (n, 2), like all pairs here.
        orientation: direction in which each grating changes, rad.
        phase: of each grating at the upper left corner, rad.
        amplitude: of each grating.
        centre: of the disc, from the top and from the left.
        radius, contrast: of the disc, and what it adds to the brightness; float32, (n,).
        base: brightness of the ground; float32, (n,).
    """

    frequency: NDArray[np.float32]
    orientation: NDArray[np.float32]
    phase: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    centre: NDArray[np.float32]
    radius: NDArray[np.float32]
    contrast: NDArray[np.float32]
    base: NDArray[np.float32]

    @classmethod
    def of_classes(cls, seed: int, classes: int) -> Self:
        """Return the scene of each class; it depends on the seed and the class alone, not on how many classes there
        are.
        """
        draws = np.stack(
            [_random_stream(seed, CLASSES, index).random(13, dtype=np.float32) for index in range(classes)]
        )
        sign = np.where(draws[:, 11] < 0.5, np.float32(-1), np.float32(1))
        return cls(
            frequency=1 + 5 * draws[:, 0:2],
            orientation=np.float32(np.pi) * draws[:, 2:4],
            phase=np.zeros((classes, 2), np.float32),
            amplitude=0.1 + 0.25 * draws[:, 4:6],
            centre=0.2 + 0.6 * draws[:, 6:8],
            radius=0.1 + 0.15 * draws[:, 8],
            contrast=sign * (0.25 + 0.25 * draws[:, 9]),
            base=0.3 + 0.4 * draws[:, 10],
        )

    def draw_variations(self, labels: NDArray[np.int32], generator: np.random.Generator) -> "Scenes":
        """Return one scene per label: with any phase, and all else near the scene of the class."""
        normal = generator.standard_normal((5, len(labels)), dtype=np.float32)
        turns = generator.random((2, len(labels)), dtype=np.float32)
        return Scenes(
            frequency=self.frequency[labels],
            orientation=self.orientation[labels] + ORIENTATION_JITTER * normal[0:2].T,
            phase=np.float32(2 * np.pi) * turns.T,
            amplitude=self.amplitude[labels],
            centre=self.centre[labels] + DISC_JITTER * normal[2:4].T,
            radius=self.radius[labels] + DISC_JITTER / 3 * normal[4],
            contrast=self.contrast[labels],
            base=self.base[labels],
        )

    def render_brightness(self, start: int, stop: int, size: int) -> NDArray[np.float32]:
        """Return images `start` (included) to `stop` (excluded) without noise, not yet clipped: (stop - start, size,
        size).
        """
        chosen = slice(start, stop)
        centres = (np.arange(size, dtype=np.float32) + 0.5) / size  # of the pixels, so that all sizes agree
        y = centres[:, None]
        x = centres
        images = np.broadcast_to(self.base[chosen, None, None], (stop - start, size, size)).copy()
        for grating in range(2):
            angle = self.orientation[chosen, grating, None, None]
            phase = self.phase[chosen, grating, None, None]
            angular_frequency = 2 * np.pi * self.frequency[chosen, grating, None, None]
            wave = angular_frequency * np.sin(angle) * y + (angular_frequency * np.cos(angle) * x + phase)
            images += self.amplitude[chosen, grating, None, None] * np.sin(wave)
        disc_y = self.centre[chosen, 0, None, None]
        disc_x = self.centre[chosen, 1, None, None]
        inside = (y - disc_y) ** 2 + (x - disc_x) ** 2 < self.radius[chosen, None, None] ** 2
        images += self.contrast[chosen, None, None] * inside
        return images


def make_procedural_images(config: DataConfig, holdout_images: int) -> Arrays:
    """Return procedural training and hold-out images; equal arguments give equal arrays.

    The hold-out set comes from a random stream of its own and does not depend on `config.images`. Both sets are
    balanced to within one image per class. Another `image_size` shows the same scenes with other noise.
    """
    classes = Scenes.of_classes(config.seed, config.classes)
    train_images, train_labels = _draw_images(config, classes, count=config.images, stream=TRAINING)
    kept_images, kept_labels = _draw_images(config, classes, count=holdout_images, stream=HOLDOUT)
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        holdout_images=kept_images,
        holdout_labels=kept_labels,
        classes=config.classes,
    )


def _draw_images(
    config: DataConfig, classes: Scenes, count: int, stream: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    generator = _random_stream(config.seed, stream)
    labels = generator.permutation(np.arange(count, dtype=np.int32) % config.classes).astype(np.int32)
    scenes = classes.draw_variations(labels, generator)
    size = config.image_size
    images = np.empty((count, size, size, 1), np.uint8)
    chunk_images = max(1, CHUNK_PIXELS // size**2)
    for start in range(0, count, chunk_images):
        stop = min(start + chunk_images, count)
        brightness = scenes.render_brightness(start, stop, size)
        brightness += config.noise * generator.standard_normal(brightness.shape, dtype=np.float32)
        images[start:stop, :, :, 0] = np.rint(255 * np.clip(brightness, 0, 1))
    return images, labels


def _random_stream(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
