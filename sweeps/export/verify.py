"""`sweeps export --check`: whether an export is what it was, what this code builds, and what the store says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import ranking
from sweeps.errors import InputError, SweepsError
from sweeps.export import folder, manifest, models, recipes
from sweeps.export.document import FORMATS, Document, parse_document
from sweeps.export.manifest import Entry

# The study of a name in the store, or why there is none to compare with.
Find = Callable[[str], Study | str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared.

    Attributes:
        fine: whether it is as it was exported; None where nothing could be compared.
        result: what the comparison says, for people.
    """

    name: str
    fine: bool | None
    result: str


def check_export(path: Path, find: Find) -> list[Check]:
    """Compare an export with its manifest, with what this code makes of it, and with the store.

    Raises:
        InputError: there is no export in the folder.
        SweepsError: the models could not be built.
    """
    try:
        content = folder.read_file(path, manifest.NAME)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
    if content is None:
        raise InputError(f"{path}: no export is there; `sweeps export STUDY --to {path}` writes one")
    entries = manifest.parse_manifest(content, str(path / manifest.NAME))
    contents = {name: _read_file(path, name) for name in entries}
    checks = [_check_digest(name, entries[name], contents[name]) for name in entries]
    documents: dict[str, Document] = {}
    for name, recipe in contents.items():
        if _is_recipe(name) and recipe is not None:
            text = recipe.decode(errors="replace")
            try:
                documents[name] = parse_document(text, FORMATS[Path(name).suffix], name)
            except InputError as exc:
                checks.append(Check(name, False, str(exc).removeprefix(f"{name}: ")))
    for name, built in _build_models(documents, contents).items():
        checks += _compare_model(name, documents[name], built, contents)
        checks.append(_compare_with_store(name, documents[name], find))
    return checks


def _read_file(path: Path, name: str) -> bytes | None:
    """Return a file of the folder itself; a manifest may be written by anybody."""
    try:
        if Path(name).name == name:
            return folder.read_file(path, name)
        return None
    except OSError:
        return None


def _is_recipe(name: str) -> bool:
    return Path(name).suffix in FORMATS and not name.endswith(".model.json")


def _check_digest(name: str, entry: Entry, content: bytes | None) -> Check:
    if content is None:
        return Check(name, False, "cannot be read, or is not there any more")
    if manifest.compute_digest(content) == entry.sha256:
        return Check(name, True, "as it was exported")
    return Check(name, False, "edited since the export")


def _build_models(
    documents: Mapping[str, Document], contents: Mapping[str, bytes | None]
) -> dict[str, models.Built | str]:
    """Return what this code builds of each recipe, or why it cannot."""
    wanted: dict[str, tuple[Document, list[str] | None]] = {}
    values: dict[str, models.Built | str] = {}
    for name, document in documents.items():
        try:
            comment = None
            if contents.get(f"{Path(name).stem}.py") is not None:
                comment = recipes.describe_recipe(document)
            wanted[name] = (document, comment)
        except (KeyError, TypeError, ValueError) as exc:
            values[name] = f"its provenance or results are incomplete: {exc}"
    return values | dict(zip(wanted, models.describe_models(list(wanted.values())), strict=True))


def _compare_model(
    name: str, document: Document, built: models.Built | str, contents: Mapping[str, bytes | None]
) -> Iterable[Check]:
    """Yield what this code builds of a recipe, against what the export says."""
    if isinstance(built, str):
        return [Check(name, False, f"cannot be built: {built}")]
    stem = Path(name).stem
    module = contents.get(f"{stem}.py")
    model = contents.get(f"{stem}.model.json")
    noted = {key: document.provenance.get(key) for key in built.facts}
    differences = [f"{key} {noted[key]}, here {value}" for key, value in built.facts.items() if value != noted[key]]
    if document.trained.digest() != document.provenance.get(store.CONFIG_DIGEST):
        differences.append("recipe and truncation are not those of the trial")
    checks = [Check(name, False, difference) for difference in differences]
    if not differences:
        parameters = built.facts["parameters"]
        checks.append(Check(name, True, f"builds {parameters:,} parameters; the trial's weights start the same"))
    if model is not None and built.model is None:
        checks.append(Check(f"{stem}.model.json", None, f"not compared: {built.because}"))
    for file_name, content, text in (
        (f"{stem}.model.json", model, built.model),
        (f"{stem}.py", module, built.module),
    ):
        if content is None or text is None:
            continue
        if content == text.encode():
            checks.append(Check(file_name, True, "this code writes the same"))
        else:
            checks.append(Check(file_name, False, "this code would write it otherwise"))
    return checks


def _compare_with_store(name: str, document: Document, find: Find) -> Check:
    """Return what the store says of the trial."""
    number = document.provenance.get("trial")
    study_name = str(document.provenance.get("study"))
    study = find(study_name)
    if isinstance(study, str):
        return Check(name, None, f"not compared with the store: {study}")
    trials = store.read_trials(study)
    if not isinstance(number, int) or not 0 <= number < len(trials):
        return Check(name, False, f"the store has no trial {number} of {study_name!r}")
    differences = _list_differences(study, trials[number], document)
    if differences:
        return Check(name, False, "; ".join(differences))
    return Check(name, True, f"the store says the same of trial {number} of {study_name!r}")


def _list_differences(study: Study, trial: FrozenTrial, document: Document) -> list[str]:
    digest = trial.user_attrs.get(store.CONFIG_DIGEST)
    noted = document.provenance.get(store.CONFIG_DIGEST)
    score = None
    for finished in store.finished_trials([trial]):
        score = ranking.get_score(store.space_of(study), finished)
    differences = []
    if digest != noted:
        differences.append(f"its config_digest is {noted}, in the store {digest}")
    value = document.results.get("value")
    if score != value:
        differences.append(f"its value is {value}, in the store {score}")
    return differences


def find_in(storage_url: str) -> Find:
    """Find studies in a store that may not be there."""
    try:
        opened = store.connect(storage_url)
    except SweepsError as exc:
        text = str(exc)
        return lambda _: text

    def find(name: str) -> Study | str:
        study = store.find_study(opened, name)
        if study is None:
            return f"{store.masked(storage_url)} has no study {name!r}"
        if store.SPACE_TEXT in study.user_attrs:
            return study
        return f"{name!r} there carries no search space"

    return find
