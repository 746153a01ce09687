"""TOML to Space: what is accepted, and one line for each mistake."""

from pathlib import Path

import optuna
import pytest
from fakes import TINY
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from sweeps.errors import SpaceError
from sweeps.space import file, samplers
from sweeps.space.parameters import Choices, Range, Scalar

MISTAKES = [
    ("budget.trialz=6", "budget.trialz", "did you mean 'trials'"),
    ("budget.trials=six", "budget.trials", "integer"),
    ("budget.trials=2.5", "budget.trials", "2.5"),
    ("budget.trials=true", "budget.trials", "True"),
    ("budget.report_interval=7", "budget", "report_interval = 7"),
    ("budget.holdout_images=3", "budget.holdout_images", "64"),
    ("study.objective=topp1", "study.objective", "did you mean 'top1'"),
    ("study.direction=minimize", "study", "drop direction"),
    ("study.name=''", "study.name", "at least 1"),
    ("data.source=places", "data.source", "procedural, digits"),
    ("data.classes=1", "data.classes", "2"),
    ("data.image_size=2", "data.image_size", "8"),
    ("modell.width=3", "modell", "did you mean 'model'"),
    ("model.stages=5", "model", "2 convolutions cannot fill 5 stages"),
    ("model.build=my_nets", "model.build", "'my_nets' is no import path; write package.module:function"),
    ('study.name="a\\nb"', "study.name", "has a line break or another control character"),
    ("space.activation=selo", "space.activation", "did you mean 'selu'"),
    ("space.activation=[]", "space.activation", "1 to 1000 values"),
    ("space.activation=['relu','relu']", "space.activation", "same value twice"),
    ("space.learningrate=1e-3", "space.learningrate", "did you mean 'learning_rate'"),
    ("space.learning_rate.low=0", "space.learning_rate.low", "cannot touch 0"),
    ("space.learning_rate.low=-1.0", "space.learning_rate.low", "cannot touch -1.0"),
    ("space.learning_rate.low=0.5", "space.learning_rate.low", "above high"),
    ("space.learning_rate.low=0.01", "space.learning_rate.low", "holds one value"),
    ("space.learning_rate.low=nan", "space.learning_rate.low", "finite"),
    ("space.learning_rate.low='a'", "space.learning_rate.low", "must be a number"),
    ("space.learning_rate.step=0.1", "space.learning_rate.step", "no step"),
    ("space.learning_rate.hihg=0.1", "space.learning_rate.hihg", "did you mean 'high'"),
    ("space.learning_rate={low=1e-3}", "space.learning_rate", "high is missing"),
    ("space.learning_rate={low=1e-3,high=1e-2,choices=[1e-3]}", "space.learning_rate", "give one of"),
    ("space.learning_rate={}", "space.learning_rate", "give one of"),
    ("space.dropout_rate={low=0.0,high=0.5,step=0}", "space.dropout_rate.step", "above 0"),
    ("space.dropout_rate={low=0.0,high=0.5,step=0.7}", "space.dropout_rate.step", "wider than the range"),
    ("space.dropout_rate={low=0.0,high=1.5}", "space.dropout_rate.high", "less than 1"),
    ("space.batch_size=32.0", "space.batch_size", "integer"),
    ("space.batch_size={low=8,high=32,step=0.5}", "space.batch_size.step", "whole number"),
    ("space.batch_size=512", "space", "a batch of 512 is more than the 256 images"),
    ("space.constraint.when.activashun=selu", "space.constraint.when.activashun", "no such parameter"),
    ("space.constraint.when.activation=tanh", "space.constraint.when.activation", "'tanh' is never drawn"),
    ("space.constraint.when.learning_rate=1e-3", "space.constraint.when.learning_rate", "is a range"),
    ("space.constraint.when=3", "space.constraint.when", "must be a table"),
    ("sampler.name=TPE", "sampler.name", "TPESampler"),
    ("sampler.n_startup=3", "sampler.n_startup", "no such option"),
    ("sampler.name=GridSampler", "space.learning_rate", "needs choices"),
    ("pruner.name=MedianPrunr", "pruner.name", "did you mean 'MedianPruner'"),
    ("pruner.name=PatientPruner", "pruner", "wrapped_pruner"),
    ("pruner.n_startup_trials=3", "pruner.n_startup_trials", "NopPruner has no such option"),
]


@pytest.mark.parametrize(("override", "key", "words"), MISTAKES, ids=[mistake for mistake, _, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_file_key_and_mend(tiny: str, override: str, key: str, words: str) -> None:
    with pytest.raises(SpaceError) as caught:
        file.parse_space(tiny, [override], "tiny.toml")
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).startswith(f"tiny.toml: {key}: ")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_conditions_in_a_circle_are_named(tiny: str) -> None:
    circle = ["space.activation={choices=['relu','selu'],when={constraint='none'}}"]
    with pytest.raises(SpaceError, match="conditions in a circle: activation, constraint"):
        file.parse_space(tiny, circle)


def test_a_missing_table_is_named() -> None:
    with pytest.raises(SpaceError, match=r"study: this table is missing; add \[study\]"):
        file.parse_space("[space]\nactivation = 'relu'\n")


@pytest.mark.parametrize("override", ["trials=6", "budget.trials", ".=3", "budget..trials=6"])
def test_an_override_of_another_form_says_how_to_write_it(tiny: str, override: str) -> None:
    with pytest.raises(SpaceError, match=r"write it as table\.key=value"):
        file.parse_space(tiny, [override])


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(TINY)
    marked.write_text(TINY, encoding="utf-8-sig")
    assert file.read_space(marked) == file.read_space(plain)


def test_files_that_cannot_be_read_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    (tmp_path / "half.toml").write_text("[study\n")
    for name, words in [
        ("none.toml", "no such file"),
        ("latin.toml", "byte 5 is not UTF-8"),
        ("half.toml", "not TOML"),
        ("", "cannot be read"),
    ]:
        with pytest.raises(SpaceError, match=words) as caught:
            file.read_space(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_overrides_change_values_and_bare_words_are_strings(tiny: str) -> None:
    overrides = [
        "budget.trials=6",
        "study.name=other name",
        "space.optimizer=['adam', 'sgd']",
        "space.model.width=[4, 8]",
    ]
    space = file.parse_space(tiny, overrides)
    assert (space.budget.trials, space.name) == (6, "other name")
    domains = {parameter.name: parameter.cases[0].domain for parameter in space.parameters}
    assert domains["optimizer"] == Choices(("adam", "sgd"))
    assert domains["model.width"] == Choices((4, 8))
    assert domains["learning_rate"] == Range(1e-3, 1e-2, log=True)


def test_more_trials_or_another_question_leave_the_digest_and_anything_else_changes_it(tiny: str) -> None:
    digest = file.parse_space(tiny).digest()
    assert file.parse_space(tiny, ["budget.trials=40", "study.question=Why?"]).digest() == digest
    for other in ("budget.steps=8", "space.batch_size=16", "data.noise=0.1", "sampler.name=TPESampler"):
        assert file.parse_space(tiny, [other]).digest() != digest


def test_adadelta_has_a_learning_rate_range_of_its_own(tiny: str) -> None:
    overrides = [
        "space.optimizer=['adam', 'adadelta']",
        "space.learning_rate=[{low=1e-3,high=1.0,log=true,when={optimizer='adadelta'}},{low=1e-4,high=1e-2,log=true}]",
    ]
    space = file.parse_space(tiny, overrides)
    common = {"activation": "relu"}
    drawn = space.draw_values(FixedTrial({**common, "optimizer": "adadelta", "learning_rate[optimizer=adadelta]": 0.9}))
    assert drawn["learning_rate"] == 0.9
    drawn = space.draw_values(FixedTrial({**common, "optimizer": "adam", "learning_rate": 5e-4}))
    assert drawn["learning_rate"] == 5e-4


def test_alpha_dropout_goes_with_selu_and_plain_dropout_with_the_rest(tiny: str) -> None:
    space = file.parse_space(
        tiny,
        ["space.dropout=[{choices=['none','alpha_dropout'],when={activation='selu'}},{choices=['none','dropout']}]"],
    )
    common = {"learning_rate": 1e-3, "constraint": "none"}
    selu = FixedTrial({**common, "activation": "selu", "dropout[activation=selu]": "alpha_dropout"})
    relu = FixedTrial({**common, "activation": "relu", "dropout": "dropout"})
    assert space.draw_values(selu)["dropout"] == "alpha_dropout"
    assert space.draw_values(relu)["dropout"] == "dropout"
    assert space.draw_values(relu)["constraint"] == "none"


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "NSGAIISampler", "NSGAIIISampler", "CmaEsSampler"])
def test_every_sampler_is_taken_by_name(tiny: str, sampler: str) -> None:
    assert file.parse_space(tiny, [f"sampler.name={sampler}"]).sampler["name"] == sampler


def test_a_pruner_within_a_pruner_is_made(tiny: str) -> None:
    wrapped = "pruner.wrapped_pruner={name='MedianPruner', n_startup_trials=3}"
    space = file.parse_space(tiny, ["pruner.name=PatientPruner", "pruner.patience=2", wrapped])
    assert isinstance(samplers.make_pruner(space), optuna.pruners.PatientPruner)
    with pytest.raises(SpaceError, match="pruner: HyperbandPruner refuses"):
        file.parse_space(tiny, ["pruner.name=HyperbandPruner", "pruner.reduction_factor=1"])


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["relu", "selu", "none", "adam", "TPESampler", "MedianPruner"]),
)
KEYS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "study",
            "name",
            "budget",
            "trials",
            "steps",
            "space",
            "activation",
            "learning_rate",
            "low",
            "high",
            "log",
            "step",
            "choices",
            "value",
            "when",
            "sampler",
            "pruner",
            "model",
            "width",
            "data",
            "objective",
            "constraint",
        ]
    ),
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
        max_leaves=12,
    ),
    max_size=5,
)


def toml(value: object) -> str:
    """A TOML value; None, which TOML lacks, becomes an empty string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return quoted(value or "")


def quoted(text: object) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in str(text)) + '"'


@given(DOCUMENTS)
def test_no_document_gets_more_than_an_error_of_ours(document: dict[str, object]) -> None:
    text = "\n".join(f"{quoted(key)} = {toml(value)}" for key, value in document.items())
    try:
        file.parse_space(text)
    except SpaceError as exc:
        assert exc.problems  # noqa: PT017  nothing else may be raised; a valid document is fine too


@given(st.text(max_size=200))
def test_no_text_gets_more_than_an_error_of_ours(text: str) -> None:
    with pytest.raises(SpaceError):
        file.parse_space(text)


@given(KEYS, KEYS, st.one_of(SCALARS, DOCUMENTS))
def test_no_override_gets_more_than_an_error_of_ours(table: str, key: str, value: object) -> None:
    try:
        file.parse_space(TINY, [f"{table}.{key}={toml(value)}"])
    except SpaceError as exc:
        assert exc.problems  # noqa: PT017


FULL = """
[full]
data = { image_size = 64, images = 1024, classes = 20 }
model = { width = 32, stages = 1 }
budget = { epochs = 3, epoch_images = 512 }
"""


def test_a_recipe_at_full_size_has_the_sizes_of_the_file_and_the_values_of_the_trial() -> None:
    space = file.parse_space(TINY + FULL)
    values: dict[str, Scalar] = {"activation": "selu", "constraint": "standardize_unit"}
    values |= {"learning_rate": 0.004, "batch_size": 32}
    config = space.make_config(values, 3)
    full = space.at_full_size(config)
    assert (full.data.image_size, full.data.classes, full.data.images, full.data.seed) == (64, 20, 1024, 0)
    assert (full.model.width, full.model.stages, full.model.convolutions, full.model.dense_units) == (32, 1, 2, 16)
    assert (full.steps, full.report_interval, full.holdout_images) == (48, 16, 64)  # 512 images in batches of 32
    same = {"data", "model", "steps", "report_interval"}
    assert full.model_dump(exclude=same) == config.model_dump(exclude=same)
    assert file.parse_space(TINY).at_full_size(config) == config


def test_the_full_size_may_change_while_a_study_runs() -> None:
    assert file.parse_space(TINY + FULL).digest() == file.parse_space(TINY).digest()


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("full.modell.width=3", "full.modell", "did you mean 'model'"),
        ("full.model.widht=3", "full.model.widht", "did you mean 'width'"),
        ("full.model=3", "full.model", "must be a table"),
        ("full.budget.trials=3", "full.budget.trials", "steps"),
        ("full.data.classes=1", "full.data.classes", "2"),
        ("full.model.stages=7", "full.model", "2 convolutions cannot fill 7 stages"),
        ("full.data.images=24", "space", "a batch of 32 is more than the 24 images"),
        ("space.model.width=[4, 8]", "full.model.width", "space.model.width decides it"),
    ],
)
def test_mistakes_in_the_full_size_are_named(override: str, key: str, words: str) -> None:
    with pytest.raises(SpaceError) as caught:
        file.parse_space(TINY + FULL, [override], "x.toml")
    assert f"x.toml: {key}" in str(caught.value)
    assert words in str(caught.value)


def test_a_replicate_is_a_seed_and_a_candidate_a_name() -> None:
    space = file.parse_space(TINY, ["space.replicate=[0, 1]", "space.candidate=[27, 3]", "study.confirms=other"])
    values: dict[str, Scalar] = {"activation": "relu", "learning_rate": 0.004, "batch_size": 32}
    seeds = [
        space.make_config({**values, "candidate": 27, "replicate": r}, slot).seed for slot, r in enumerate([0, 1, 0])
    ]
    assert seeds[0] == seeds[2] != seeds[1]
    assert space.confirms == "other"


def test_an_override_without_a_value_drops_the_key() -> None:
    space = file.parse_space(TINY, ["budget.report_interval=", "budget.steps=40", "space.constraint="])
    assert space.budget.report_interval == 10
    assert "constraint" not in {parameter.name for parameter in space.parameters}
    with pytest.raises(SpaceError, match=r"no space\.constrain to drop; did you mean 'constraint'"):
        file.parse_space(TINY, ["space.constrain="])


@pytest.mark.parametrize("values", ["[1, 1.0]", "[0.1, 1e-1]", "[1e-3, 0.5, 1e-3]"])
def test_choices_that_are_one_value_are_refused_but_a_study_that_has_them_is_read(values: str) -> None:
    override = [f"space.learning_rate={values}"]
    with pytest.raises(SpaceError, match="the same value"):
        file.parse_space(TINY, override)
    if values == "[1, 1.0]":
        rate = next(p for p in file.parse_space(TINY, override, stored=True).parameters if p.name == "learning_rate")
        assert rate.cases[0].domain.values == (1, 1.0)
