"""AlexNet, and nets with squeeze-and-excitation in its manner; channels are multiples of `width`, 64 at full size."""

from typing import Any

import keras

from sweeps.nn.models.builder import Builder

POOL = 3  # pixels, with stride 2: overlapping, as in Krizhevsky et al. 2012, section 3.4


def build_alexnet(build: Builder, output: str) -> keras.Model:
    """Five convolutions of 1, 3, 6, 4 and 4 times `width`, three pools (Krizhevsky 2014, arXiv:1404.5997)."""
    table = build.architecture.model
    images, x = build.add_inputs()
    x = build.add_pool(_add_stem(build, x), "pool_1", POOL)
    x = build.add_pool(build.add_convolution(x, 3 * table.width, 5, "convolution_2"), "pool_2", POOL)
    for number, multiple in ((3, 6), (4, 4), (5, 4)):
        x = build.add_convolution(x, multiple * table.width, 3, f"convolution_{number}")
    x = build.add_pool(x, "pool_3", POOL)
    return build.make_model(images, build.add_dense_head(build.flatten(x)), output)


def build_se_resnet(build: Builder, output: str) -> keras.Model:
    """Ten convolutions with squeeze-and-excitation in each of four stages, two of which have a residual join.

    Stages of AlexNet's channels: a stem; a 5x5 and a 3x3 convolution; a 3x3 convolution and a residual pair; the same
    with fewer channels and one more convolution. Within a pair the gate acts before the join.
    """
    table = build.architecture.model
    images, x = build.add_inputs()
    x = build.add_excitation(_add_stem(build, x), "se_1")
    x = build.add_pool(x, "pool_1", POOL)
    x = build.add_convolution(x, 3 * table.width, 5, "convolution_2")
    x = build.add_excitation(build.add_convolution(x, 3 * table.width, 3, "convolution_3"), "se_2")
    x = build.add_pool(x, "pool_2", POOL)
    x = build.add_convolution(x, 6 * table.width, 3, "convolution_4")
    x = _add_residual_pair(build, x, 5, "se_3")
    x = build.add_convolution(x, 4 * table.width, 3, "convolution_7")
    x = _add_residual_pair(build, x, 8, "se_4")
    x = build.add_convolution(x, 4 * table.width, 3, "convolution_10")
    x = build.add_pool(x, "pool_3", POOL)
    return build.make_model(images, build.add_dense_head(build.flatten(x)), output)


def build_se_blocks(build: Builder, output: str) -> keras.Model:
    """Build stages of a 3x3 convolution, squeeze-and-excitation and a pool; channels double up to four times
    `width`.
    """
    table = build.architecture.model
    images, x = build.add_inputs()
    for stage in range(table.stages):
        x = build.add_convolution(x, table.width * min(2**stage, 4), 3, f"convolution_{stage + 1}")
        x = build.add_pool(build.add_excitation(x, f"se_{stage + 1}"), f"pool_{stage + 1}")
    return build.make_model(images, build.add_dense_head(build.flatten(x)), output)


def _add_stem(build: Builder, x: Any) -> Any:
    table = build.architecture.model
    return build.add_convolution(x, table.width, table.stem_kernel, "convolution_1", table.stem_stride)


def _add_residual_pair(build: Builder, x: Any, first: int, name: str) -> Any:
    y = build.add_convolution(x, x.shape[-1], 3, f"convolution_{first}")
    y = build.add_excitation(build.add_convolution(y, x.shape[-1], 3, f"convolution_{first + 1}"), name)
    return keras.layers.Add(dtype=build.architecture.dtype, name=f"{name}_join")([x, y])
