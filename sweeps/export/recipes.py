"""A chosen trial as files: the recipe at full size with its provenance, Keras's model, a stand-alone module."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna import Study
from pydantic import ValidationError

from sweeps import store
from sweeps.analysis.ranking import Configuration
from sweeps.analysis.summary import format_objective
from sweeps.config import Config, is_own
from sweeps.errors import InputError, validation_reason
from sweeps.export import manifest, models
from sweeps.export.document import Document, Format, list_truncation
from sweeps.export.manifest import Entry
from sweeps.export.plan import File
from sweeps.export.select import ExportedTrial
from sweeps.objective import OBJECTIVES
from sweeps.space.space import Space

NO_FULL_SIZE = (
    "study {0!r} has no [full] table, so that nothing says what it truncates: the recipe is the trial's own; "
    "--set {1}=... says more"
)
OWN_SIZE = "The recipe is at the trial's own size: nothing says a larger one"
# Results of a trial that a file has if the trial has them.
RESULTS = (
    store.TOP1,
    store.TOP5,
    store.F1,
    store.LOSS,
    store.GAIN,
    store.BEST_VALUE,
    store.BEST_STEP,
    store.BEST_EPOCH,
    store.CHANCE_TOP1,
)


def make_files(
    study: Study, space: Space, chosen: Sequence[ExportedTrial], store_url: str, form: Format, *, module: bool
) -> tuple[dict[str, File], list[str]]:
    """Return all files of some trials, without the manifest; and what a person should know of them.

    Args:
        store_url: without its password.
        module: whether stand-alone modules are wanted.

    Raises:
        InputError: a recipe cannot be had at full size, or cannot be built.
    """
    drafts = [_draft_document(study, space, trial) for trial in chosen]
    requests: list[tuple[Document, list[str] | None]] = [(draft, None) for draft in drafts]
    if module:
        requests = [(draft, describe_recipe(draft)) for draft in drafts]
    built = models.describe_models(requests)
    files: dict[str, File] = {}
    remarks = []
    if space.full is None:
        remarks.append(NO_FULL_SIZE.format(space.name, _name_size(space)))
    for trial, draft, made in zip(chosen, drafts, built, strict=True):
        if isinstance(made, str):
            raise InputError(f"trial {trial.trial.number}: {made}")
        document = _complete_document(draft, made)
        notes = document.provenance.get("notes", [])
        remarks += [f"{trial.name}: {note}" for note in notes if note not in remarks]
        if made.because:
            remarks.append(f"{trial.name}: {made.because}")
        recipe_name = f"{trial.name}.{form}"
        texts = {recipe_name: document.to_text(form, make_comment(document, recipe_name))}
        if made.model is not None:
            texts[f"{trial.name}.model.json"] = made.model
        if made.module is not None:
            texts[f"{trial.name}.py"] = made.module
        for name, text in texts.items():
            content = text.encode()
            entry = Entry(manifest.compute_digest(content), space.name, trial.trial.number, store_url)
            files[name] = File(content, entry)
    return files, remarks


def describe_recipe(document: Document) -> list[str]:
    """Return lines for people on a recipe: of which trial it is, how well that did, what was truncated."""
    provenance = document.provenance
    results = document.results
    line = f"Trial {provenance['trial']} of study {provenance['study']!r}: {results['fate']}"
    if "value" in results:
        line += f", {_format_result(results, results['value'])}"
    if results.get(store.CHANCE_TOP1) is not None:
        line += f" (guessing: top-1 {results[store.CHANCE_TOP1]:.2%})"
    lines = [f"{line}."]
    runs = results.get("runs", {})
    if runs and (runs["n"] > 1 or runs["study"] != provenance["study"]):
        interval = ""
        if "low" in runs:  # not of equal values
            low = _format_result(results, runs["low"], "")
            high = _format_result(results, runs["high"], "")
            interval = f", 95 % interval {low} to {high}"
        if runs["n"] > 1:
            of = f"{runs['n']} runs in {runs['study']!r}: mean"
        else:
            of = f"One run in {runs['study']!r}:"
        lines.append(f"{of} {_format_result(results, runs['mean'])}{interval}.")
    changes = [
        f"    {name} = {json.dumps(value)}, here {json.dumps(document.recipe.get_value(name))}"
        for name, value in document.truncation.items()
    ]
    if changes:
        lines += ["", "The trial was truncated:"] + changes
    lines += _describe_training(document.trained, document.provenance.get(store.NET_PARTS, ()))
    of_trial = _describe_length(document.trained, document.provenance.get(store.TRAIN_IMAGES))
    if not changes:
        return lines + ["", f"{OWN_SIZE}.", f"Its training is {of_trial}."]
    return lines + ["", f"Its training is {_describe_length(document.recipe, None)}; in the trial {of_trial}."]


def _name_size(space: Space) -> str:
    """Return the key of [full] by which a user of the space would say a larger size."""
    if space.model.architecture != "custom":
        return "full.model.width"
    own = [parameter.name for parameter in space.parameters if is_own(parameter.name) and parameter.is_fixed]
    return f"full.{(own or ['budget.steps'])[0]}"


def _describe_training(config: Config, parts: Sequence[str]) -> list[str]:
    """Return what the trial's training did beside what a recipe says.

    Args:
        parts: what a user's net is made of, as far as it is known.
    """
    lines = []
    if config.data.task == "regression":
        lines += [
            "",
            "Its target was standardised: less the mean over the training rows, divided by their standard deviation.",
        ]
    if config.recalibrate_batch_normalization and (not parts or "batch_normalization" in parts):
        lines += [
            "",
            "The averages of batch normalisation were estimated anew before each evaluation: a fit of as few steps",
            "needs a lower momentum to be evaluated as well.",
        ]
    return lines


def _describe_length(config: Config, images: int | None) -> str:
    """Return how long a training is.

    Args:
        images: that there were to train on, if it is known: a source may have fewer than are asked for.
    """
    rows = images or config.data.images
    passes = config.steps * config.batch_size / rows
    return f"{config.steps:,} steps of {config.batch_size:,}, {passes:.3g} passes over {rows:,}"


def make_comment(document: Document, name: str) -> list[str]:
    """Return the comment at the top of a recipe's file."""
    usage = f'sweeps.load("{name}").compile() is its Keras model, ready for fit'
    written = "Written by `sweeps export`, which does not overwrite what was changed by hand."
    head = describe_recipe(document) + [""]
    if module := document.provenance.get("module"):
        head.append(f"It needs your module {module['name']}: have it where you load the recipe.")
    if not document.truncation:
        return head + [f"{usage}.", written]
    return head + [f"{usage}; with as_trained=True at the size that the", f"trial had. {written}"]


def _draft_document(study: Study, space: Space, chosen: ExportedTrial) -> Document:
    """Return a recipe's file, but for what Keras says of its models."""
    trained = chosen.trial.config
    assert trained is not None  # `select_best` and `select_numbered` see to it
    try:
        recipe = space.at_full_size(trained)
    except ValidationError as exc:
        raise InputError(
            f"trial {chosen.trial.number} of {space.name!r} has no full size: {validation_reason(exc.errors()[0])}"
        ) from exc
    notes = []
    if space.full is None:
        notes.append(NO_FULL_SIZE.format(space.name, _name_size(space)))
    if chosen.warning:
        notes.append(chosen.warning)
    provenance: dict[str, Any] = {
        "study": space.name,
        "trial": chosen.trial.number,
        "seed": trained.seed,
        "space_sha256": study.user_attrs[store.SPACE_SHA256],
        store.CONFIG_DIGEST: trained.digest(),
    }
    names = (
        store.NET_PARTS,
        store.CLASS_NAMES,
        store.DATA_DIGEST,
        store.INPUT_SHAPE,
        store.TRAIN_IMAGES,
        store.GPU,
        store.VERSIONS,
    )
    provenance |= {name: chosen.attributes[name] for name in names if name in chosen.attributes}
    if notes:
        provenance["notes"] = notes
    if recipe.model.build:
        provenance["module"] = _describe_module(recipe.model.build)
    return Document(
        recipe=recipe,
        truncation=list_truncation(recipe, trained),
        provenance=provenance,
        results=_collect_results(space, chosen),
        varied=frozenset(parameter.name for parameter in space.parameters),
    )


def _describe_module(build: str) -> dict[str, str]:
    """Return the module of a user's net, and the digest of its file where it lies in the working directory."""
    name = build.partition(":")[0]
    values = {"name": name}
    place = Path(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            values |= {"file": path.as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            break
    return values


def _collect_results(space: Space, chosen: ExportedTrial) -> dict[str, Any]:
    trial = chosen.trial
    attributes = chosen.attributes
    values: dict[str, Any] = {"objective": space.objective}
    if chosen.value is not None:
        values["value"] = chosen.value
    values |= {
        store.FATE: trial.fate,
        store.REASON: trial.reason,
        store.STEPS: trial.steps,
        store.SECONDS: trial.seconds,
    }
    values |= {name: attributes[name] for name in RESULTS if name in attributes}
    if chosen.runs is not None:
        values["runs"] = _describe_runs(chosen.runs)
    return values


def _describe_runs(runs: Configuration) -> dict[str, Any]:
    values = {
        "study": runs.study,
        "n": len(runs.values),
        "learned": runs.learned,
        "mean": runs.mean,
        "values": list(runs.values),
    }
    interval = runs.compute_interval()
    if runs.spread is None or interval is None:
        return values
    return values | {"spread": runs.spread, "low": interval[0], "high": interval[1]}


def _complete_document(draft: Document, built: models.Built) -> Document:
    """Return the document with what Keras says of its models."""
    notes = list(draft.provenance.get("notes", []))
    if built.model is None:
        notes.append(f"there is no model.json: {built.no_model}")
    provenance = {name: value for name, value in draft.provenance.items() if name != "notes"} | built.facts
    if notes:
        provenance["notes"] = notes
    return replace(draft, provenance=provenance)


def _format_result(results: Mapping[str, Any], value: float, name: str | None = None) -> str:
    objective = results["objective"]
    if name is None:
        text = objective
        if objective in OBJECTIVES:
            text = OBJECTIVES[objective].title
    else:
        text = name
    return f"{text} {format_objective(objective, value)}".strip()
