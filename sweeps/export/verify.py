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
    """One thing that was looked at.

    Attributes:
        fine: whether it is as it was exported; None where nothing could be compared.
    """

    name: str
    fine: bool | None
    words: str


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
    for name, own_content in contents.items():
        if _is_recipe(name) and own_content is not None:
            try:
                documents[name] = parse_document(own_content.decode(errors="replace"), FORMATS[Path(name).suffix], name)
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
    same = manifest.compute_digest(content) == entry.sha256
    return Check(name, same, "as it was exported" if same else "edited since the export")


def _build_models(
    documents: Mapping[str, Document], contents: Mapping[str, bytes | None]
) -> dict[str, models.Built | str]:
    """Return what this code builds of each recipe, or why it cannot."""
    wanted: dict[str, tuple[Document, list[str] | None]] = {}
    values: dict[str, models.Built | str] = {}
    for name, document in documents.items():
        try:
            module = contents.get(f"{Path(name).stem}.py")
            wanted[name] = (document, None if module is None else recipes.about(document))
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
    other = [f"{key} {noted[key]}, here {value}" for key, value in built.facts.items() if value != noted[key]]
    if document.trained.digest() != document.provenance.get(store.CONFIG_DIGEST):
        other.append("recipe and truncation are not those of the trial")
    words = f"builds {built.facts['parameters']:,} parameters; the trial's weights start the same"
    checks = [Check(name, False, this_name) for this_name in other] or [Check(name, True, words)]
    if model is not None and built.model is None:
        checks.append(Check(f"{stem}.model.json", None, f"not compared: {built.because}"))
    pairs = [(f"{stem}.model.json", model, built.model), (f"{stem}.py", module, built.module)]
    for own_name, content, text in pairs:
        if content is not None and text is not None:
            same = content == text.encode()
            checks.append(
                Check(own_name, same, f"this code {'writes the same' if same else 'would write it otherwise'}")
            )
    return checks


def _compare_with_store(name: str, document: Document, find: Find) -> Check:
    """Return what the store says of the trial."""
    number = document.provenance.get("trial")
    study = str(document.provenance.get("study"))
    own_study = find(study)
    if isinstance(own_study, str):
        return Check(name, None, f"not compared with the store: {own_study}")
    trials = own_study.get_trials(deepcopy=False)
    if not isinstance(number, int) or not 0 <= number < len(trials):
        return Check(name, False, f"the store has no trial {number} of {study!r}")
    other = _list_differences(own_study, trials[number], document)
    return Check(name, not other, "; ".join(other) or f"the store says the same of trial {number} of {study!r}")


def _list_differences(study: Study, trial: FrozenTrial, document: Document) -> list[str]:
    digest = trial.user_attrs.get(store.CONFIG_DIGEST)
    noted = document.provenance.get(store.CONFIG_DIGEST)
    values = [
        ranking.get_score(store.space_of(study), finished_trial) for finished_trial in store.finished_trials([trial])
    ] or [None]
    other = []
    if digest != noted:
        other.append(f"its config_digest is {noted}, in the store {digest}")
    if values[0] != document.results.get("value"):
        other.append(f"its value is {document.results.get('value')}, in the store {values[0]}")
    return other


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
