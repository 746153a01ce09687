"""Recorded runs: what is written is read back, what is missing is not a number, what is no record is named."""

import gzip
import json
from dataclasses import replace
from math import inf, isnan, log, nan
from pathlib import Path
from typing import Any

import pytest
from handmade import handmade_reading

from sweeps.errors import InputError
from sweeps.verdict import Chance, recorded
from sweeps.verdict.judge import by_mechanism, is_learner

CHANCE = Chance(1 / 365, 5 / 365, log(365), 365)


def read_one(tmp_path: Path, **values: Any) -> recorded.Recorded:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"id": "a", **values}) + "\n")
    return next(recorded.read_runs(path))


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.jsonl.gz"])
def test_a_run_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    readings = [
        handmade_reading(0, 6.1, 2),
        replace(handmade_reading(20, 5.5, 40), loss_std=0.5),
        handmade_reading(40, nan, 0, finite=False),
    ]
    recorded.write_runs(tmp_path / name, [recorded.run_to_record("a", {"activation": "selu"}, readings, CHANCE)])
    (run,) = recorded.read_runs(tmp_path / name)
    assert (run.id, run.budget, run.config, run.chance.classes) == ("a", 40, {"activation": "selu"}, 365)
    assert run.chance.top1 == pytest.approx(1 / 365, rel=1e-3)
    assert [each.step for each in run.readings] == [0, 20, 40]
    assert run.readings[1].loss == 5.5
    assert run.readings[1].loss_std == 0.5
    assert (run.readings[1].hits1, run.readings[1].count) == (40, 1024)
    assert [layer.signal for layer in run.readings[0].layers] == [0.5, 0.5, 0.5]
    assert [layer.name for layer in run.readings[0].layers] == ["conv_1", "conv_2", "logits"]
    assert run.readings[2].loss == inf, "null is not finite"
    assert not run.readings[2].finite


def test_a_loss_alone_will_do(tmp_path: Path) -> None:
    looks = [{"step": step, "loss": loss} for step, loss in ((0, 2.4), (10, 2.3), (20, 1.0))]
    run = read_one(tmp_path, task={"kind": "classification", "classes": 10, "prior_entropy": 2.3026}, looks=looks)
    assert (run.budget, run.chance.top1, run.chance.classes) == (20, 0.1, 10)
    assert all(each.count == 0 and not each.layers and each.measured for each in run.readings)
    assert is_learner(run.readings, run.chance)


def test_regression_has_no_chance_of_hits(tmp_path: Path) -> None:
    looks = [{"step": step, "n": 100, "loss": loss} for step, loss in ((0, 1.1), (10, 0.99))]
    run = read_one(tmp_path, task={"kind": "regression", "prior_entropy": 1.0, "budget_steps": 10}, looks=looks)
    assert run.chance.classes == 0
    assert isnan(run.chance.top1)
    assert not is_learner(run.readings, run.chance)


def test_a_look_at_layers_alone_says_nothing_of_the_loss(tmp_path: Path) -> None:
    layers = [{"mean": 0.1, "std": 1, "signal": 0.5, "dead": 0}]
    looks = [
        {"step": 3, "n": None, "loss": None, "layers": layers},
        {"step": 5, "n": 64, "hits1": 1, "loss": None, "layers": layers},
    ]
    run = read_one(tmp_path, task={"classes": 10, "kind": "classification"}, looks=looks)
    assert not run.readings[0].measured
    assert run.readings[1].loss == run.chance.loss, "unknown, not infinite"


def test_a_record_without_losses_is_no_divergence_and_its_hits_count(tmp_path: Path) -> None:
    hits = {40: 200, 0: 20, 10: 26, 20: 120, 30: 180}
    looks = [{"step": step, "n": 256, "hits1": each} for step, each in hits.items()]
    run = read_one(tmp_path, task={"classes": None, "chance_top1": 0.1}, looks=looks)
    assert [each.step for each in run.readings] == [0, 10, 20, 30, 40], "in order"
    assert run.chance.classes == 10
    assert is_learner(run.readings, run.chance)
    assert not any(by_mechanism(run.readings[:end], run.chance, 40) for end in range(1, 6))


def test_an_unknown_loss_is_that_of_the_look_before(tmp_path: Path) -> None:
    losses = ((0, 2.3), (5, 1.5), (5, 1.4), (10, None))
    looks = [{"step": step, "n": 64, "hits1": 9, "loss": loss} for step, loss in losses]
    run = read_one(tmp_path, task={"classes": 10}, looks=looks)
    assert [each.loss for each in run.readings] == [2.3, 1.4, 1.4], "of two looks at a step the later counts"


def test_the_training_loss_is_the_mean_since_the_look_before(tmp_path: Path) -> None:
    looks = [{"step": 0, "loss": 3.0}, {"step": 2, "loss": 3.0}, {"step": 4, "loss": 3.0}]
    task = {"classes": 10, "kind": "classification"}
    run = read_one(tmp_path, task=task, looks=looks, train_loss=[4.0, 2.0, 1.0, None])
    assert isnan(run.readings[0].train_loss)
    assert [each.train_loss for each in run.readings[1:]] == [3.0, inf]
    unknown = [*looks[:2], {"step": 4, "loss": None}]
    run = read_one(tmp_path, task=task, looks=unknown, train_loss=[4.0, 2.0, 1.0, None])
    assert run.readings[2].loss == inf, "the training loss says that it was not finite"


def test_a_longer_copy_or_a_run_given_up_is_marked(tmp_path: Path) -> None:
    rest = {"task": {"classes": 10, "budget_steps": 4}, "looks": [{"step": 4, "loss": 2.0}]}
    assert read_one(tmp_path, **rest).is_whole
    assert not read_one(tmp_path, **rest, superseded_by="b").is_whole
    assert not read_one(tmp_path, **rest, censored=True).is_whole


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"id": "b", "task": {}}\n', "line 1: no 'looks'"),
        (b'{"id": "a", "task": {}, "looks": []}\n', "line 1: no look"),
        (b'{"id": "a", "task": {}, "looks": [{"step": -1}]}\n', "a look at step -1"),
        (b'{"id": "a", "task": {"prior_entropy": 0}, "looks": [{"step": 1}]}\n', "prior_entropy is 0"),
        (b"not json\n", "line 1: "),
        (b"[1]\n", "line 1: "),
        (b"\x1f\x8b rubbish", "recorded runs"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        list(recorded.read_runs(path))
    with pytest.raises(InputError, match="No such file"):
        list(recorded.read_runs(tmp_path / "missing.jsonl"))


def test_the_same_runs_make_the_same_file(tmp_path: Path) -> None:
    records = [recorded.run_to_record("a", {}, [handmade_reading(0), handmade_reading(20)], CHANCE)]
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        recorded.write_runs(tmp_path / name, records)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.jsonl.gz").read_bytes()).count(b"\n") == 1
