"""Exports of a user's own net: the keys that are its own, and the module that it needs."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from sweeps.config import Config, DataConfig
from sweeps.errors import InputError
from sweeps.export import recipes
from sweeps.export.document import Document, parse_document
from sweeps.imports import load_function

PROVENANCE = {"study": "mine", "trial": 1, "input_shape": [8, 8, 1], "module": {"name": "mine"}}
RESULTS = {"fate": "learned", "objective": "top1"}


def document(varied: frozenset[str] = frozenset(), **choices: object) -> Document:
    data = DataConfig(source="mine:load", classes=10, images=500, image_size=8)
    values = {"data": data, "model": {"build": "mine:build"}, "seed": 3, "steps": 40, **choices}
    return Document(Config.model_validate(values), {}, PROVENANCE, RESULTS, varied)


def test_keys_that_a_net_of_a_user_has_not_are_not_in_its_recipe() -> None:
    text = document().to_text("toml", [])
    recipe = tomllib.loads(text)["recipe"]
    assert recipe["model"] == {"architecture": "custom", "build": "mine:build"}
    assert not {"activation", "initializer", "constraint", "tau", "dropout_rate", "inputs"} & recipe.keys()
    assert {"seed", "steps", "learning_rate", "optimizer", "batch_size"} <= recipe.keys()
    assert parse_document(text, "toml", "best.toml").recipe == document().recipe


def test_keys_that_the_study_varies_or_sets_are() -> None:
    varied = document(frozenset({"activation"}), activation="relu", l2=1e-3)
    recipe = tomllib.loads(varied.to_text("toml", []))["recipe"]
    assert recipe["activation"] == "relu"
    assert parse_document(varied.to_text("json", []), "json", "best.json").recipe == varied.recipe
    assert varied.recipe.l2 == 1e-3


def test_a_net_of_ours_keeps_all_its_keys() -> None:
    ours = Document(Config.model_validate({}), {}, PROVENANCE, RESULTS)
    assert tomllib.loads(ours.to_text("toml", []))["recipe"].keys() >= {"activation", "initializer", "tau"}


def test_the_module_that_is_needed_is_named_with_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text("def build(config): ...")
    monkeypatch.chdir(tmp_path)
    module = recipes._describe_module("nets.mine:build")
    digest = hashlib.sha256((tmp_path / "nets" / "mine.py").read_bytes()).hexdigest()
    assert module == {"name": "nets.mine", "file": "nets/mine.py", "sha256": digest}
    assert any("needs your module mine" in line for line in recipes.make_comment(document(), "best.toml"))


def test_a_module_that_is_not_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no module 'nowhere'"):
        load_function("nowhere.nets:build")
    (tmp_path / "needy.py").write_text("import no_such_package_of_theirs\n")
    with pytest.raises(InputError, match=r"no_such_package_of_theirs.*\(needy.py, line 1: import no_such"):
        load_function("needy:build")
    (tmp_path / "faulty.py").write_text("import json\njson.no_such_thing\ndef build(config): ...\n")
    with pytest.raises(InputError, match=r"AttributeError.*\(faulty.py, line 2: json.no_such_thing\)"):
        load_function("faulty:build")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(InputError, match="empty has no build"):
        load_function("empty:build")
