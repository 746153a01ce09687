"""Stand-alone modules: the nets of their recipes, in code that needs nothing of ours and passes for a person's."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import keras
import numpy as np
import pytest
from tiny_net import SIZE, tiny

from sweeps.config import Config, DataConfig, Inputs
from sweeps.data.arrays import Arrays, input_scaling
from sweeps.errors import InputError
from sweeps.nn import models, optimizers, standalone
from sweeps.nn.export import describe, weights_digest
from sweeps.nn.standalone_sources import extract_classes
from sweeps.nn.train import Training

GATES = {"width": 4, "excitation_ratio": 2, "dense": 1, "dense_units": 16}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "standardized_weights": {
        "activation": "selu", "constraint": "standardize_unit", "tau": 1.5, "l2": 1e-4, "dropout": "alpha_dropout",
    },
    "domain": {"constraint": "selu_domain", "constrain_first": False, "initializer": "standard_normal"},
    "norms": {"constraint": "max_norm", "max_norm": 0.5, "dropout": "dropout", "dropout_rate": 0.3, "output": "logits"},
    "layers": {"constraint": "centralize_layer", "constrain_last": False, "optimizer": "nadam", "weight_decay": 0.1},
    "units": {"constraint": "unit_norm", "optimizer": "sgd", "momentum": 0.5, "activation": "leaky_relu"},
    "centralized": {"constraint": "centralize_unit", "optimizer": "rmsprop", "epsilon": 0.1, "inputs": "centred"},
    "normalized": {"batch_normalization": "before", "optimizer": "adadelta", "learning_rate": 1.0},
    "normalized_after": {"batch_normalization": "after", "batch_normalization_affine": False, "activation": "swish"},
    "half": {"dtype": "mixed_float16", "constraint": "standardize_unit", "batch_normalization": "before"},
    "alexnet": {"model": {"architecture": "alexnet", "width": 2, "dense": 1, "stem_kernel": 5, "stem_stride": 2}},
    "blocks": {"model": {"architecture": "se_blocks", "stages": 2, **GATES}, "excitation_penalty": 0.01},
    "residual": {
        "model": {"architecture": "se_resnet", "excitation": "elu", **GATES}, "excitation_bias": "one_plus_noise",
        "batch_normalization": "before", "constraint": "selu_domain", "excitation_penalty": 0.1,
    },
    "dense": {"model": {"architecture": "dense", "dense": 2, "dense_units": 12}},
}  # fmt: skip


def size(config: Config, shape: tuple[int, ...] = (SIZE, SIZE, 1)) -> standalone.Size:
    scaling = models.UNIT
    if not standalone.learns_scaling(config, shape):
        none = np.zeros((0, *shape), np.uint8)
        scaling = input_scaling(config.inputs, Arrays(none, np.zeros(0, np.int32), none, np.zeros(0, np.int32), 2))
    return standalone.Size(config, shape, models.build_model(config, shape, scaling))


def text(config: Config, shape: tuple[int, ...] = (SIZE, SIZE, 1), about: tuple[str, ...] = ("A trial.",)) -> str:
    """The module of a recipe that is not truncated."""
    return standalone.module(about, size(config, shape), size(config, shape))


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """Modules register classes under the names of ours, as they must; here ours get their names back."""
    registered = keras.saving.get_custom_objects()
    ours = dict(registered)
    yield
    registered.update(ours)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module for each recipe."""
    folder = tmp_path_factory.mktemp("modules")
    for name, choices in RECIPES.items():
        (folder / f"{name}.py").write_text(text(tiny(**choices)))
    return folder


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"standalone_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(model: keras.Model) -> Any:
    """Keras's description of a model, but for the modules in which classes are."""

    def without_modules(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_modules(part) for key, part in value.items() if key != "module"}
        return [without_modules(part) for part in value] if isinstance(value, list) else value

    return without_modules(json.loads(model.to_json()))


def configured(made: Callable[[], keras.optimizers.Optimizer]) -> tuple[type, dict[str, Any]]:
    """What an optimiser is; Keras numbers their names."""
    keras.utils.clear_session(free_memory=False)
    optimizer = made()
    return type(optimizer), optimizer.get_config()


@pytest.mark.parametrize("name", RECIPES)
def test_a_module_builds_the_net_of_its_recipe(name: str, folder: Path) -> None:
    config, module = tiny(**RECIPES[name]), imported(folder / f"{name}.py")
    model = size(config).model
    built = module.build()
    assert described(built) == described(model)
    assert weights_digest(built) == weights_digest(model)
    assert weights_digest(module.build_as_trained()) == weights_digest(model)
    assert configured(module.optimizer) == configured(lambda: optimizers.build_optimizer(config))
    assert module.loss().get_config()["from_logits"] == (config.output == "logits")
    assert (config.batch_size, config.steps) == (module.BATCH_SIZE, module.STEPS)


def test_modules_pass_ruff_and_are_laid_out_as_it_would(folder: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    for words in (["check"], ["format", "--check", "--line-length", "160"]):
        done = subprocess.run([ruff, *words, "--isolated", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_modules_are_imported_without_a_warning_and_without_sweeps(folder: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.modules['sweeps'] = None\n"
    program += "\n".join(f"import {name}" for name in RECIPES)
    command = [sys.executable, "-I", "-W", "error", "-c", program]
    done = subprocess.run(command, env={"HOME": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, under NumPy 2
def test_a_file_of_a_module_is_read_by_sweeps_and_the_other_way_round(folder: Path, tmp_path: Path) -> None:
    module, ours = imported(folder / "residual.py"), size(tiny(**RECIPES["residual"])).model
    for model in (module.build(), ours):
        model.save(tmp_path / "net.keras")
        again = keras.saving.load_model(tmp_path / "net.keras", compile=False)
        assert weights_digest(again) == weights_digest(model)
        assert described(keras.models.model_from_json(ours.to_json())) == described(model)


@pytest.mark.parametrize("inputs", get_args(Inputs))
@pytest.mark.parametrize("shape", [(SIZE, SIZE, 1), (7,)], ids=["images", "table"])
def test_a_module_scales_its_inputs_as_the_trial_s_were(inputs: Inputs, shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data: Any = rng.integers(0, 256, (300, *shape)).astype(np.uint8 if len(shape) == 3 else np.float32)
    data[:, 0] = 5  # what is constant is not scaled up
    config = tiny(inputs=inputs)
    if len(shape) == 1:
        table = DataConfig(source="csv", path="x", task="regression", images=300)
        config = tiny(data=table, model={"architecture": "dense", "dense": 1}, inputs=inputs)
    (tmp_path / "scaled.py").write_text(text(config, shape))
    module = imported(tmp_path / "scaled.py")
    learns = standalone.learns_scaling(config, shape)
    layer = module.build(*([data] if learns else [])).get_layer("scale")
    labels = np.zeros(300, np.int32)
    scale, offset = input_scaling(inputs, Arrays(data, labels, data, labels, 2))
    assert np.array_equal(np.float32(layer.scale) + np.zeros(shape, np.float32), scale + np.zeros(shape, np.float32))
    assert np.array_equal(np.float32(layer.offset) + np.zeros(shape, np.float32), offset + np.zeros(shape, np.float32))
    assert isinstance(module.loss(), keras.losses.MeanSquaredError) == (len(shape) == 1)


def test_a_truncated_recipe_has_both_nets(tmp_path: Path) -> None:
    full = tiny(data={"classes": 12, "images": 256, "image_size": 32}, steps=1000)
    (tmp_path / "both.py").write_text(standalone.module(("A trial.",), size(full, (32, 32, 1)), size(tiny())))
    module = imported(tmp_path / "both.py")
    assert (module.build().input_shape, module.build_as_trained().input_shape) == ((None, 32, 32, 1), (None, 16, 16, 1))
    assert (module.build().output_shape, module.STEPS) == ((None, 12), 1000)
    assert str(module.build.__doc__).startswith("The net at full size: ")


def test_a_recipe_that_is_not_truncated_says_so(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(text(tiny()))
    assert str(imported(tmp_path / "own.py").build.__doc__).startswith("The net at the trial's own size: ")


@pytest.mark.parametrize("line", ['"""', "\\", 'ends in "', "\\N{x} {braces} %s", "it's λ"])
def test_what_people_call_a_study_harms_no_module(line: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(text(tiny(), about=(line,)))
    assert str(imported(tmp_path / "odd.py").__doc__).startswith(f"{line}\n")


def test_a_net_of_the_user_s_own_has_no_module() -> None:
    own = tiny(model={"build": "own_net:build"}).model_dump()
    asked = {"recipe": own, "trained": own, "input_shape": [16, 16, 1], "about": ["A trial."]}
    with pytest.raises(InputError, match=r"no stand-alone module: own_net:build builds the net; leave out --module"):
        describe(asked)
    found = describe({**asked, "about": None})
    assert (found["module"], json.loads(found["model"])["class_name"]) == (None, "Sequential")


def test_a_class_that_needs_the_rest_of_sweeps_is_no_part_of_a_module() -> None:
    with pytest.raises(ValueError, match=r"cannot stand alone: it imports sweeps"):
        extract_classes([Training])
