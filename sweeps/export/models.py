"""Models of recipes, built by Keras in a process of its own: this one never holds TensorFlow or a GPU."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.errors import SweepsError
from sweeps.export.document import Document

LAST_WORDS = 300  # characters of a process that failed
BUILD = """
from sweeps.imports import quickly
with quickly():
    from sweeps.nn.export import answer_requests
answer_requests()
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What Keras made of a recipe; see `sweeps.nn.export.describe`.

    Attributes:
        facts: numbers of parameters and the digest of the first weights, as they stand in a recipe's file.
        model: Keras's JSON, or None.
        no_model, because: why there is none; the latter depends on the place and the day.
        module: a stand-alone module, if one was wanted.
    """

    facts: dict[str, Any]
    model: str | None
    no_model: str
    because: str
    module: str | None


def describe_models(recipes: Sequence[tuple[Document, Sequence[str] | None]]) -> list[Built | str]:
    """Return what the models of recipes are like, in their order; in words, of one that cannot be built, why.

    Args:
        recipes: each with the first lines of its stand-alone module, or None where none is wanted.

    Raises:
        SweepsError: the process that builds them ended early, for want of memory perhaps.
    """
    if not recipes:
        return []
    asked = [
        {
            "recipe": document.recipe.model_dump(),
            "trained": document.trained.model_dump(),
            "input_shape": document.input_shape,
            "about": lines and list(lines),
        }
        for document, lines in recipes
    ]
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        input=json.dumps(asked),
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # equal weights wherever it runs, and no GPU taken from workers
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        last_lines = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        killed = ""
        if done.returncode < 0:
            killed = " (killed: memory may be too small for the full size)"
        raise SweepsError(f"the models could not be built{killed}: {last_lines[0][:LAST_WORDS]}")
    return [_read_answer(answer) for answer in json.loads(done.stdout)]


def _read_answer(answer: dict[str, Any]) -> Built | str:
    if "error" in answer:
        return str(answer["error"])
    return _describe_model(answer)


def _describe_model(values: dict[str, Any]) -> Built:
    others = ("model", "no_model", "because", "module")
    return Built(
        facts={key: value for key, value in values.items() if key not in others},
        model=values["model"],
        no_model=values["no_model"],
        because=values["because"],
        module=values["module"],
    )
