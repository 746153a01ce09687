"""Recipes as files: three formats with the same content, and one clear line for whatever is none."""

import json
import math
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import sweeps
from sweeps.config import Config
from sweeps.errors import InputError, SweepsError
from sweeps.export import models, recipes
from sweeps.export.document import FORMATS, Document, Format, list_truncation, parse_document, read_document

TRAINED = Config.model_validate(
    {"seed": 3, "learning_rate": 1.0000000000000002e-3, "epsilon": 1e-300, "activation": "selu", "l2": 0.1 + 0.2}
)
FULL = Config.model_validate(
    TRAINED.model_dump() | {"steps": 100_000, "model": {"width": 64}, "data": {"image_size": 256, "images": 2_000_000}}
)
PROVENANCE = {"study": "a", "trial": 0, "input_shape": [32, 32, 1], "config_digest": TRAINED.digest()}
DOCUMENT = Document(FULL, list_truncation(FULL, TRAINED), PROVENANCE, {"fate": "learned", "value": 1 / 3})
FORMS: tuple[Format, ...] = ("toml", "yaml", "json")


def written(tables: Any, folder: Path) -> Path:
    """Tables as a file of JSON."""
    (folder / "best.json").write_text(json.dumps(tables))
    return folder / "best.json"


def test_what_was_truncated_is_known_with_the_trial_s_values() -> None:
    assert DOCUMENT.truncation == {"steps": 200, "data.images": 16_384, "data.image_size": 32, "model.width": 16}
    assert DOCUMENT.trained == TRAINED
    assert DOCUMENT.trained.digest() == TRAINED.digest()


@pytest.mark.parametrize("form", FORMS)
def test_each_format_is_read_back_to_the_last_bit_by_its_own_reader_too(form: Format) -> None:
    text = DOCUMENT.to_text(form, ["A comment.", "", "version: 2\u2028version = 2"])
    assert parse_document(text, form, "x") == DOCUMENT
    readers: dict[Format, Callable[[str], Any]] = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
    tables = readers[form](text)
    assert tables == DOCUMENT.to_tables()
    assert tables["recipe"]["learning_rate"] == 1.0000000000000002e-3


numbers = st.floats(min_value=1e-300, max_value=1e300, exclude_min=True)
texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    rate=numbers, seed=st.integers(0, 2**31 - 1), reason=texts, value=st.floats(allow_nan=False, allow_infinity=False)
)
def test_any_numbers_and_any_words_survive_every_format(rate: float, seed: int, reason: str, value: float) -> None:
    recipe = FULL.model_copy(update={"learning_rate": rate, "seed": seed})
    document = replace(DOCUMENT, recipe=recipe, results={"reason": reason, "value": value})
    for form in FORMS:
        found = parse_document(document.to_text(form, [reason]), form, "x")
        assert (found.recipe, found.results["value"]) == (recipe, value)
        assert math.copysign(1, found.results["value"]) == math.copysign(1, value)
        assert found.results["reason"] == reason


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_read_by_its_ending(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"best{suffix}"
    path.write_text(DOCUMENT.to_text(FORMATS[suffix], []), encoding="utf-8")
    assert read_document(path) == DOCUMENT


def changed(*path: str, value: Any) -> dict[str, Any]:
    """The document's tables with one value changed, or added."""
    tables: dict[str, Any] = json.loads(json.dumps(DOCUMENT.to_tables()))
    place = tables
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return tables


WRONG: list[tuple[Any, str]] = [
    ([], r"best.json: has no \[recipe\]; give a file that `sweeps export` wrote"),
    ({"version": 1}, r"has no \[recipe\]"),
    (changed("version", value=2), "version 2 is unknown; this sweeps reads 1"),
    (changed("recipes", value={}), "recipes: unknown key; did you mean 'recipe'?"),
    (changed("results", value=3), "results: must be a table, not 3"),
    (changed("recipe", "activation", value="selo"), "recipe.activation: 'selo' is not among .*; did you mean 'selu'?"),
    (changed("recipe", "model", "widht", value=3), "recipe.model.widht: unknown key; did you mean 'width'?"),
    (changed("recipe", "steps", value="many"), "recipe.steps: should be a valid integer, not 'many'"),
    (changed("recipe", "batch_size", value=3_000_000), "recipe: a batch of 3000000 is more than the 2000000 images"),
    (changed("truncation", "model.width", value=0), "truncation: should be greater than or equal to 1, not 0"),
    (changed("truncation", "nets.width", value=8), "truncation: no such field: 'nets'"),
    (changed("provenance", "input_shape", value=[1, 2]), r"provenance.input_shape: write \[height, width, channels\]"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_no_recipe_is_refused_in_one_line_with_the_key(tables: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        sweeps.load(written(tables, tmp_path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    cases = {
        "best.txt": (b"", "is no recipe; give a .toml, .yaml or .json file"),
        "best.model.json": (b"{}", "is no recipe"),
        "half.toml": (b"[recipe\n", "not TOML: "),
        "half.yaml": (b"a: [1\n", "not YAML: "),
        "half.json": (b"{", "not JSON: "),
        "bytes.toml": (b"\xff\xfe", r"cannot be read \(it is not UTF-8\)"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            sweeps.load(str(tmp_path / name))
    with pytest.raises(InputError, match="no such file; `sweeps export STUDY --to FOLDER` writes it"):
        sweeps.load(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        sweeps.load(tmp_path / "folder.toml")


def test_sweeps_is_imported_without_keras_and_without_the_store() -> None:
    program = "import sweeps, sys; assert not {'keras', 'tensorflow', 'optuna', 'yaml'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_equal_values_of_seeds_are_told_without_an_interval() -> None:
    runs = {"study": "b", "n": 2, "learned": 2, "mean": 0.5, "values": [0.5, 0.5]}
    results = {"fate": "learned", "objective": "top1", "runs": runs}
    assert "2 runs in 'b': mean top-1 50.00%." in recipes.describe_recipe(replace(DOCUMENT, results=results))
    spread = {"spread": 0.1, "low": 0.25, "high": 0.75}
    lines = recipes.describe_recipe(replace(DOCUMENT, results=results | {"runs": runs | spread}))
    assert "2 runs in 'b': mean top-1 50.00%, 95 % interval 25.00% to 75.00%." in lines


@pytest.mark.parametrize(
    ("ending", "words"), [("kill -9 $$", "killed: memory may be too small"), ("exit 3", "no more")]
)
def test_models_whose_process_dies_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho first >&2\necho no more >&2\n{ending}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SweepsError, match=words):
        models.describe_models([(DOCUMENT, None)])
