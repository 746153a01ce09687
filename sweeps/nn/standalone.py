"""Stand-alone modules: one recipe as Python code that needs Keras and numpy, and nothing of sweeps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import keras

from sweeps.config import Config
from sweeps.nn.optimizers import OPTIMIZERS
from sweeps.nn.standalone_code import Code
from sweeps.nn.standalone_sources import extract_classes

USAGE = """
build({given})
    the net, with the weights that the seed gives
build_as_trained({given})
    the same at the size that the trial had
optimizer(), loss()
    what either is compiled with
BATCH_SIZE, STEPS
    of the training"""
SHARED = ("constraints", "initializers", "layers", "regularizers")  # of Keras, imported by name
RANGES = {"unit": "0 to 255 become 0 to 1", "centred": "0 to 255 become -0.5 to 0.5"}

SAMPLE = """
    chosen = np.linspace(0, len(training_images) - 1, min(10_000, len(training_images))).astype(np.int64)
    sample = training_images[chosen].astype(np.float64)"""
SCALING = '''def scaling(training_images: np.ndarray) -> tuple[Any, Any]:
    """Scale and offset {what}; of up to 10 000 training images, evenly spaced."""{sample}
{body}
    return np.float32(scale).tolist(), np.float32(offset).tolist()'''
MOMENTS = """\
    mean, spread = sample.mean({axis}), sample.std({axis})
    scale = 1 / np.where(spread > 0, spread, 1.0)
    offset = -mean * scale"""
ENDS = """\
    low, high = sample.min(axis=0), sample.max(axis=0)
    scale = 1 / np.where(high > low, high - low, 1.0)
    offset = -low * scale{less}"""


@dataclass(frozen=True, slots=True, eq=False)
class Size:
    """A recipe at one size, and its model; of a recipe that `learns_scaling` its inputs may be scaled anyhow."""

    config: Config
    input_shape: tuple[int, ...]
    model: keras.Model


def learns_scaling(config: Config, input_shape: Sequence[int]) -> bool:
    """Return whether the inputs are scaled by what the training images are like."""
    of_images = len(input_shape) == 1 or config.inputs.startswith("standardized")
    return of_images and config.model.architecture != "custom"


def module(about: Sequence[str], full: Size, trained: Size) -> str:
    """Return the text of a module.

    Args:
        about: what its docstring says first, as lines.
        full, trained: of the recipe at full size, and as the trial had it; none of them is custom.
    """
    code = Code()
    build = _lines(code, full)
    build_trained = _lines(code, trained)
    if build == build_trained:
        build_trained = [f"return build({'training_images' if _learns(full) else ''})"]
    own_excerpt = extract_classes(code.classes)
    steps = f"STEPS = {full.config.steps:_}"
    if full.config.steps != trained.config.steps:
        steps += f"  # of the optimiser; the trial had {trained.config.steps:_}"
    if full.config == trained.config:
        at = "at the trial's own size"
    else:
        at = "at full size"
    parts = [
        f"BATCH_SIZE = {full.config.batch_size}\n{steps}",
        own_excerpt.text,
        code.functions(),
        _scaling(full.config, full.input_shape) if _learns(full) else "",
        _function("build", f"The net {at}: {_words(full)}", full, build),
        _function("build_as_trained", f"The net as the trial had it: {_words(trained)}", trained, build_trained),
        _optimizer(full.config),
        _loss(full.config),
    ]
    body = "\n\n\n".join(part for part in parts if part)
    usage = USAGE.format(given="training_images" if _learns(full) else "")
    head = ["# SPDX-License-Identifier: MIT", _docstring([*about, usage])]
    return "\n".join([*head, "", _imports(body, own_excerpt.imports), "", body, ""])


def _learns(size: Size) -> bool:
    return learns_scaling(size.config, size.input_shape)


def _lines(code: Code, size: Size) -> list[str]:
    """Return the body of a function that builds a model."""
    if not _learns(size):
        lines = code.model(size.model, {})
        return [lines[0], f"{lines[1]}  # {RANGES[size.config.inputs]}", *lines[2:]]
    if size.config.dtype == "float32":
        dtype = ""
    else:
        dtype = f'dtype="{size.config.dtype}", '
    scaled = {"scale": f'layers.Rescaling(scale, offset, {dtype}name="scale")'}
    return ["scale, offset = scaling(training_images)", *code.model(size.model, scaled)]


def _function(name: str, text: str, size: Size, lines: Iterable[str]) -> str:
    if _learns(size):
        given = "training_images: np.ndarray"
    else:
        given = ""
    head = [f"def {name}({given}) -> keras.Model:", f'    """{text}."""']
    return "\n".join([*head, *(f"    {line}" for line in lines)])


def _words(size: Size) -> str:
    """Return what a model makes of what, and how many parameters it has."""
    config = size.config
    sides = " x ".join(map(str, size.input_shape))
    if len(size.input_shape) == 3:
        inputs = f"uint8 images, {sides}"
    else:
        inputs = f"rows of {sides} numbers"
    if config.output == "logits":
        kind = "logits"
    else:
        kind = "probabilities"
    if config.data.task == "classification":
        outputs = f"{kind} of {config.data.classes} classes"
    else:
        outputs = "one number"
    return f"{inputs} -> {outputs}; {size.model.count_params():,} parameters"


def _scaling(config: Config, input_shape: Sequence[int]) -> str:
    """Return the function that says how inputs are scaled; what `sweeps.data.arrays.input_scaling` does."""
    if len(input_shape) == 1:
        of = "column"
    else:
        of = "pixel"
    if config.inputs == "standardized_set":
        what = "that give all of them mean 0 and variance 1"
        body = MOMENTS.format(axis="")
    elif config.inputs == "standardized_pixel":
        what = f"that give each {of} mean 0 and variance 1"
        body = MOMENTS.format(axis="axis=0")
    else:
        ends, less = ("-0.5 to 0.5", " - 0.5") if config.inputs == "centred" else ("0 to 1", "")
        what = f"that spread each {of} over {ends}"
        body = ENDS.format(less=less)
    return SCALING.format(what=what, sample=SAMPLE, body=body)


def _optimizer(config: Config) -> str:
    """Return code that makes the optimiser as `sweeps.nn.optimizers.build_optimizer` does."""
    rule = OPTIMIZERS[config.optimizer]
    names = ["learning_rate", *rule.fields, *(["weight_decay"] if config.weight_decay else [])]
    arguments = ", ".join(f"{name}={getattr(config, name)!r}" for name in names)
    made = f"keras.optimizers.{rule.plain.__name__}({arguments})"
    if config.dtype == "mixed_float16":
        made = f"keras.optimizers.LossScaleOptimizer({made})"
    words = '"""The optimiser, without a past."""'
    return f"def optimizer() -> keras.optimizers.Optimizer:\n    {words}\n    return {made}"


def _loss(config: Config) -> str:
    made = "keras.losses.MeanSquaredError()"
    if config.data.task == "classification":
        made = f"keras.losses.SparseCategoricalCrossentropy(from_logits={config.output == 'logits'})"
    words = '"""The loss; penalties on weights and gates are in the net."""'
    return f"def loss() -> keras.losses.Loss:\n    {words}\n    return {made}"


def _docstring(lines: Sequence[str]) -> str:
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{text}\n"""'


def _imports(body: str, more: Iterable[tuple[str, str]]) -> str:
    """Return the import statements: Python's own modules, then Keras and numpy."""
    wanted = {*more, ("keras", "")}
    wanted |= {("keras", name) for name in SHARED if re.search(rf"(?<![\w.]){name}\.", body)}
    wanted |= {("numpy as np", "")} if re.search(r"\bnp\.", body) else set()
    wanted |= {("typing", "Any")} if re.search(r"\bAny\b", body) else set()
    groups: Mapping[bool, list[str]] = {False: [], True: []}
    for module_name, names in groupby(sorted(wanted), key=lambda pair: (pair[0], not pair[1])):
        module, whole = module_name
        if whole:
            line = f"import {module}"
        else:
            line = f"from {module} import {', '.join(name for _, name in names)}"
        groups[module.split()[0] in ("keras", "numpy")].append(line)
    return "\n\n".join("\n".join(sorted(lines, key=_import_order)) for lines in groups.values() if lines)


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line
