"""A plain deep convolutional net: stages of 3x3 convolutions with a max-pool after each, dense layers, logits."""

import keras

from sweeps.nn.models.builder import Builder


def convolutions_per_stage(convolutions: int, stages: int) -> list[int]:
    """Return how many convolutions each stage has, as even as can be, the earlier stages first: 7 in 3 stages are 3, 2,
    2.
    """
    share, left = divmod(convolutions, stages)
    return [share + (stage < left) for stage in range(stages)]


def build_cnn(build: Builder, output: str) -> keras.Model:
    """Build a net from uint8 images, (batch, height, width, channels), to probabilities or logits, float32, (batch,
    classes).

    Layers are named `convolution_1`, ..., `dense_1`, ..., `logits`, `output`. Channels: `width`, twice, then four times
    as many.
    """
    table = build.architecture.model
    number = 0
    images, x = build.add_inputs()
    for stage, convolutions in enumerate(convolutions_per_stage(table.convolutions, table.stages)):
        for _ in range(convolutions):
            number += 1
            x = build.add_convolution(x, table.width * min(2**stage, 4), 3, f"convolution_{number}")
        x = build.add_pool(x, f"pool_{stage + 1}")
    return build.make_model(images, build.add_dense_head(build.flatten(x)), output)
