"""Dense layers alone, as in the comparison of self-normalising nets with ordinary ones (Klambauer et al. 2017)."""

import keras

from sweeps.nn.models.builder import Builder


def build_dense(build: Builder, output: str) -> keras.Model:
    """Build a net from images or rows of a table to probabilities, logits or a prediction, float32, (batch,
    outputs).
    """
    images, x = build.add_inputs()
    return build.make_model(images, build.add_dense_head(build.flatten(x)), output)
