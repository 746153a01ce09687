"""Autopsies of runs written by hand: one of each cause, what must be said of it, and what must never happen."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf, isnan, log, nan
from typing import Any

import pytest
from handmade import handmade_reading
from hypothesis import given
from hypothesis import strategies as st

from sweeps.diagnosis.autopsy import Autopsy, make_autopsy
from sweeps.diagnosis.causes import MAY_HELP, Cause, describe_cause, may_help
from sweeps.diagnosis.findings import find_symptoms, lost_at
from sweeps.diagnosis.survey import Change
from sweeps.readings import IncomingWeights, LayerVitals, Reading
from sweeps.verdict import Chance

CHANCE = Chance(1 / 365, 5 / 365, log(365), 365)
STEPS = (0, 20, 40, 60, 80)


def run(*looks: Reading, **layer: Any) -> list[Reading]:
    """Looks whose last hidden layer has other vital signs."""
    return [
        replace(each, layers=(*each.layers[:-2], replace(each.layers[-2], **layer), each.layers[-1])) for each in looks
    ]


def alive(**values: Any) -> list[Reading]:
    return [handmade_reading(step, **values) for step in STEPS]


LOST = [
    handmade_reading(0, 6.0, signals=(0.5, 0.4, 0.3)),
    handmade_reading(20, 6.1, signals=(0.5, 0.4, 0.001)),
    handmade_reading(40, 6.2, signals=(0.5, 0.003, 1e-5)),
    handmade_reading(60, 6.3, signals=(0.4, 0.002, 1e-6)),
]
LEARNED = [handmade_reading(step, 5.9 - step / 20, hits1=3 + 5 * step) for step in STEPS]
CASES: dict[Cause, tuple[Sequence[Reading], str]] = {
    Cause.DIVERGED: ([*LEARNED[:2], handmade_reading(40, nan, finite=False, signals=(0.5, nan, nan))], "diverged"),
    Cause.CUT_OFF: (run(*(handmade_reading(step, signals=(0.5, 0.0, 0.0)) for step in STEPS), dead=1.0), "collapsed"),
    Cause.SATURATED: (run(*alive(signals=(0.5, 0.2, 1e-3)), saturated=0.9995), "collapsed"),
    Cause.SIGNAL_LOST: (LOST, "at chance"),
    Cause.FROZEN: ([replace(each, update_ratio=1e-9) for each in alive()], "frozen"),
    Cause.CRAWLING: ([replace(each, update_ratio=1e-5) for each in alive()], "at chance"),
    Cause.NOT_FINITE: ([handmade_reading(0, nan), handmade_reading(20, nan)], "not finite"),
    Cause.INFERENCE_LAGS: ([replace(each, train_loss=0.1, batch_loss=0.2) for each in alive()], "inference lags"),
    Cause.MEMORISES: ([replace(each, train_loss=0.1, passes=9.0) for each in alive()], "memorised"),
    Cause.HOLDOUT_DIFFERS: ([replace(each, train_loss=0.1, passes=0.5) for each in alive()], "hold-out differs"),
    Cause.ABOVE_CHANCE: (alive(), "above chance"),
    Cause.AT_CHANCE: (alive(), "at chance"),
    Cause.NONE: (LEARNED, "learned"),
}
CHANGE = Change(
    "of 6 runs with activation selu, 6 did not learn; with constraint standardize_unit, 0 of 5",
    "c",
    (6, 6),
    (0, 5),
    0.002,
)


def of(cause: Cause, **more: Any) -> Autopsy:
    readings, fate = CASES[cause]
    return make_autopsy(readings, CHANCE, fate, "so it was", **more)


@pytest.mark.parametrize("cause", Cause)
def test_each_kind_of_run_has_its_cause_in_the_note_and_in_the_attributes(cause: Cause) -> None:
    found = of(cause)
    assert found.cause is cause
    assert found.to_attributes()["autopsy_cause"] == str(cause)
    note = found.to_markdown()
    assert note.startswith(f"## Autopsy: {cause}\n")
    assert "so it was" in note
    assert note.count("\n") < 42
    assert found.advice.lower() in note.lower()
    assert "nan" not in note.replace("the hold-out loss is nan", "")


def test_the_layer_that_lost_the_signal_first_is_named_with_its_step() -> None:
    found = of(Cause.SIGNAL_LOST)
    attributes = found.to_attributes()
    assert (attributes["died_in_layer"], attributes["died_at_step"]) == ("logits", 20)
    assert "autopsy_lost_in" not in attributes, "it is named once"
    assert "lost first in logits at step 20, from 0.3 at its highest to 1e-06" in found.to_markdown()
    assert "confident, with the same answer for every input" in found.to_markdown()


def test_a_run_that_diverged_died_at_its_last_look_and_one_at_chance_died_nowhere() -> None:
    assert of(Cause.DIVERGED).to_attributes()["died_at_step"] == 40
    for cause in (Cause.CRAWLING, Cause.AT_CHANCE, Cause.NONE):
        assert not {"died_at_step", "died_in_layer"} & of(cause).to_attributes().keys()


def test_of_layers_that_lose_it_at_the_same_look_the_one_nearest_the_input_is_first() -> None:
    readings = [
        handmade_reading(0),
        handmade_reading(20, signals=(0.5, 1e-4, 1e-5)),
        handmade_reading(40, signals=(0.5, 1e-4, 1e-5)),
    ]
    first = find_symptoms(readings, CHANCE).first_lost
    assert first is not None
    assert (first.name, first.lost_at, first.highest) == ("conv_2", 20, 0.5)


@pytest.mark.parametrize(
    ("signals", "step"),
    [
        ([0.5, 0.004, 0.004], 1),
        ([0.5, 0.004, 0.4], None),  # it came back
        ([0.5, 0.004, 0.006, 0.004], 3),  # it came back for a look
        ([0.5, nan, 0.004, nan], 2),
        ([1e-8, 1e-8], None),  # never there, never lost
        ([0.5], None),
        ([nan, nan], None),
        ([], None),
    ],
)
def test_a_signal_is_lost_when_it_falls_a_hundredfold_for_good(signals: list[float], step: int | None) -> None:
    assert lost_at(range(len(signals)), signals) == step


def test_a_layer_around_which_a_path_leads_is_no_cause() -> None:
    assert make_autopsy(run(*alive(), dead=1.0), CHANCE, "at chance", "").cause is Cause.AT_CHANCE


def test_a_run_whose_gain_rises_crawls_however_large_its_steps() -> None:
    readings = [handmade_reading(step, 5.9 - step / 4000) for step in STEPS]
    assert make_autopsy(readings, CHANCE, "at chance", "").cause is Cause.CRAWLING


def test_a_run_that_was_outranked_while_it_learned_has_no_cause_and_a_dead_one_has() -> None:
    assert make_autopsy(LEARNED, CHANCE, "outranked", "").cause is Cause.NONE
    assert make_autopsy(LOST, CHANCE, "interrupted", "").cause is Cause.SIGNAL_LOST
    assert make_autopsy([*LEARNED, *LOST], CHANCE, "collapsed", "").cause is Cause.SIGNAL_LOST


def test_a_diverged_run_is_examined_where_its_signs_were_finite() -> None:
    found = of(Cause.DIVERGED).findings
    assert (found.step, found.last_step) == (20, 40)


def test_the_domain_of_theorem_1_is_said_to_matter_for_selu_alone() -> None:
    weights = IncomingWeights(omega_mean=0.01, omega_std=1.02, tau_mean=1.1, tau_std=0.3, in_domain=0.06)
    readings = run(*LOST, weights=weights)
    selu, relu = (make_autopsy(readings, CHANCE, "at chance", "", activation=each) for each in ("selu", "relu"))
    assert "6% of conv_2, the fewest, with sums 0.01 ± 1, squares 1.1 ± 0.3" in selu.to_markdown()
    assert "made for SELU" not in selu.to_markdown()
    assert "made for SELU" in relu.to_markdown()
    assert selu.to_attributes()["autopsy_in_domain_layer"] == "conv_2"
    assert selu.to_attributes()["autopsy_omega_std"] == 1.02


@pytest.mark.parametrize(("first", "word"), [(1e-4, "vanishing"), (1.0, ""), (1e4, "exploding")])
def test_gradients_that_vanish_or_explode_are_a_diagnosis(first: float, word: str) -> None:
    layers = tuple(
        replace(each, gradient_norm=norm) for each, norm in zip(handmade_reading(0).layers, (first, 1, 1), strict=True)
    )
    found = make_autopsy([replace(each, layers=layers) for each in alive()], CHANCE, "at chance", "")
    line = next(line for line in found.to_markdown().splitlines() if "gradient norm" in line)
    assert line.endswith(f"({word} towards the input)" if word else ": 1")
    assert found.to_attributes()["autopsy_gradient_ratio"] == first
    assert found.cause is Cause.AT_CHANCE


@pytest.mark.parametrize(
    ("loss", "signal", "words"),
    [
        (5.905, 0.5, "it ends by answering the class frequencies"),
        (6.5, 1e-6, "confident, with the same answer for every input"),
        (6.5, 0.5, "confident of wrong answers"),
    ],
)
def test_the_loss_is_held_against_guessing(loss: float, signal: float, words: str) -> None:
    assert words in make_autopsy(alive(loss=loss, signals=(0.5, 0.5, signal)), CHANCE, "at chance", "").to_markdown()


def test_the_studys_own_changes_come_first() -> None:
    note = of(Cause.SIGNAL_LOST, changes=[CHANGE]).to_markdown()
    assert note.splitlines()[2] == f"In this study, {CHANGE.words}."
    assert f"- {CHANGE.words} (p = 0.002, one change of many looked at)" in note
    assert note.index(CHANGE.words) < note.index("may help")
    assert of(Cause.SIGNAL_LOST, changes=[CHANGE]).to_attributes()["autopsy_supported"] == [CHANGE.words]
    assert "Nothing yet" in of(Cause.SIGNAL_LOST).to_markdown()


def test_what_the_run_had_already_is_not_advised() -> None:
    note = of(Cause.SIGNAL_LOST, has={"selu", "standardize_unit"}).to_markdown()
    assert "standardize_unit" not in note
    assert "A lower learning rate may help, and so may inputs standardized_set" in note
    assert "or batch normalisation." in note


@pytest.mark.parametrize("cause", Cause)
def test_advice_is_a_possibility_and_every_cause_but_none_has_some(cause: Cause) -> None:
    assert ("may help" in may_help(cause)) == (cause is not Cause.NONE)
    assert describe_cause(cause, "conv_7", 40)
    everything = {name for option in MAY_HELP[cause] for name in option.present}
    left = {option.text for option in MAY_HELP[cause] if not option.present}
    assert all(text in may_help(cause, everything) for text in left)
    gone = {option.text for option in MAY_HELP[cause] if option.present}
    assert not any(text in may_help(cause, everything) for text in gone - left)


@pytest.mark.parametrize(
    ("ratio", "advised", "not_advised"),
    [(1e-5, "a larger learning rate", "a lower"), (0.1, "a lower learning rate", "a larger"), (1e-3, "more", "rate")],
)
def test_advice_on_the_learning_rate_goes_one_way_and_follows_the_steps(
    ratio: float, advised: str, not_advised: str
) -> None:
    readings = [replace(each, update_ratio=ratio) for each in alive()]
    found = make_autopsy(readings, CHANCE, "at chance", "")
    assert advised in found.advice
    assert not_advised not in found.advice


def test_a_signal_that_was_never_there_is_not_blamed_on_the_learning_rate() -> None:
    unborn = [handmade_reading(step, 6.0, signals=(0.5, 1e-9, 1e-9)) for step in STEPS]
    found = make_autopsy(unborn, CHANCE, "at chance", "")
    assert found.cause is Cause.SIGNAL_LOST
    assert "learning rate" not in found.advice


def test_no_part_is_advised_to_a_net_whose_parts_are_not_known() -> None:
    found = make_autopsy(LOST, CHANCE, "at chance", "", has={"own_net"}, known_parts=False)
    assert "normalisation" not in found.advice
    assert "constraint" not in found.advice


@pytest.mark.parametrize(
    ("cause", "more"),
    [
        (Cause.INFERENCE_LAGS, {"train_loss": 0.1, "batch_loss": 0.2}),
        (Cause.MEMORISES, {"train_loss": 0.1, "passes": 9.0}),
        (Cause.HOLDOUT_DIFFERS, {"train_loss": 0.1, "passes": 0.5}),
    ],
)
def test_what_an_early_version_called_at_chance_is_examined_by_its_training_loss(
    cause: Cause, more: dict[str, Any]
) -> None:
    readings = [replace(each, **more) for each in alive()]
    found = make_autopsy(readings, CHANCE, "at chance", "")
    assert found.cause is cause
    assert "larger learning rate" not in found.advice


def test_regression_speaks_of_the_mean() -> None:
    chance = Chance(nan, nan, 1.0, 0)
    readings = [replace(handmade_reading(step, 1.001), hits1=0, hits5=0) for step in STEPS]
    found = make_autopsy(readings, chance, "at chance", "still at chance")
    assert "it ends by answering the mean" in found.to_markdown()
    assert "best R^2" in found.to_markdown()
    assert isnan(found.findings.top1)


def test_a_single_look_and_one_without_layers_will_do() -> None:
    single = make_autopsy([handmade_reading(0)], CHANCE, "interrupted", "stopped by hand")
    assert single.cause is Cause.AT_CHANCE
    bare = make_autopsy([replace(handmade_reading(20), layers=())], CHANCE, "at chance", "")
    assert "Layers at step" not in bare.to_markdown()
    assert bare.culprit is None


def test_the_note_of_a_deep_net_keeps_the_layer_that_matters() -> None:
    readings = [handmade_reading(0, signals=(0.5,) * 60), handmade_reading(20, signals=(*(0.5,) * 33, *(1e-5,) * 27))]
    note = make_autopsy(readings, CHANCE, "at chance", "").to_markdown()
    assert "of 60)" in note
    assert "| conv_1 |" in note
    assert "| conv_34 |" in note
    assert "| logits |" in note
    assert note.count("\n") < 42


ANY = st.one_of(st.floats(), st.sampled_from([nan, inf, 0.0, 1e-9, 0.5, 1.0]))
WEIGHTS = st.none() | st.builds(IncomingWeights, ANY, ANY, ANY, ANY, ANY)
LAYER = st.builds(
    LayerVitals, st.sampled_from(["conv_1", "conv_2", "logits"]), ANY, ANY, ANY, ANY, ANY, ANY, ANY, weights=WEIGHTS
)
LOOK = st.builds(
    Reading,
    step=st.integers(0, 1000),
    train_loss=ANY,
    loss=ANY,
    hits1=st.integers(0, 64),
    hits5=st.just(0),
    count=st.sampled_from([0, 64]),
    gradient_norm=ANY,
    update_ratio=ANY,
    finite=st.booleans(),
    seconds=st.just(0.0),
    layers=st.lists(LAYER, max_size=3, unique_by=lambda layer: layer.name).map(tuple),
)
FATES = st.sampled_from(["learned", "at chance", "collapsed", "diverged", "frozen", "outranked", "interrupted"])


@given(
    st.lists(LOOK, min_size=1, max_size=6, unique_by=lambda each: each.step),
    FATES,
    st.sampled_from([CHANCE, Chance(nan, nan, 1.0, 0), Chance(nan, nan, nan, 0), Chance(0.1, 0.5, nan, 10)]),
)
def test_whatever_was_read_there_is_a_note_and_attributes_that_json_can_say(
    readings: list[Reading], fate: str, chance: Chance
) -> None:
    found = make_autopsy(sorted(readings, key=lambda each: each.step), chance, fate, "so", has={"relu"})
    attributes = found.to_attributes()
    assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes
    assert all(name.startswith(("autopsy_", "died_")) for name in attributes)
    assert found.to_markdown().startswith("## Autopsy: ")


def test_after_a_step_that_overthrew_a_kernel_a_lower_rate_comes_first() -> None:
    found = make_autopsy(LOST, CHANCE, "at chance", "")
    assert found.advice.startswith("the constraint")
    overthrown = [replace(LOST[0], update_ratio=3.0), *LOST[1:]]
    assert make_autopsy(overthrown, CHANCE, "at chance", "").advice.startswith("a lower learning rate")


def test_the_best_gain_is_that_of_training_not_of_the_first_weights() -> None:
    readings = [handmade_reading(0, 5.0), *(handmade_reading(step, 5.8) for step in (10, 20, 30))]
    found = make_autopsy(readings, CHANCE, "at chance", "")
    assert found.findings.best_step == 10
    assert found.findings.best_gain == pytest.approx(1 - 5.8 / CHANCE.loss)
