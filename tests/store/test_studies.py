"""The store: opening it, a study's life in it, and one line for each way it can fail."""

import os
import sqlite3
from pathlib import Path

import fakes
import optuna
import pytest
import sqlalchemy
from fakes import TINY
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL, make_url

from sweeps import store
from sweeps.artifacts.locations import artifact_location
from sweeps.errors import InputError, StoreError
from sweeps.space import file
from sweeps.store.engines import hide_secrets
from sweeps.store.finished import finished_trials


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def test_the_url_comes_from_the_option_then_the_environment_then_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.url(None) == "sqlite:///sweeps.db"
    monkeypatch.setenv("SWEEPS_STORAGE", "sqlite:///other.db")
    assert store.url(None) == "sqlite:///other.db"
    assert store.url("sqlite:///mine.db") == "sqlite:///mine.db"


def test_the_url_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    monkeypatch.setenv("SWEEPS_STORAGE_FILE", str(secret))
    for content, words in ((None, "cannot be read"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is no text")):
        if content is not None:
            secret.write_bytes(content)
        with pytest.raises(StoreError, match=f"^SWEEPS_STORAGE_FILE: {secret}.*{words}") as caught:
            store.url(None)
        assert "\n" not in str(caught.value)
    secret.write_text("sqlite:///other.db\n")
    assert store.url(None) == "sqlite:///other.db"
    assert store.url("sqlite:///mine.db") == "sqlite:///mine.db"
    monkeypatch.setenv("SWEEPS_STORAGE", "sqlite:///third.db")
    with pytest.raises(InputError, match="SWEEPS_STORAGE and SWEEPS_STORAGE_FILE are both set"):
        store.url(None)


def test_a_space_is_read_once_for_each_text(url: str) -> None:
    study = store.create_study(store.connect(url, create=True), file.parse_space(TINY), TINY, [])
    assert store.space_of(study) is store.space_of(study)
    store.record_space(study, file.parse_space(TINY, ["budget.trials=9"]), TINY, ["budget.trials=9"])
    assert store.space_of(study).budget.trials == 9


def test_a_sqlite_store_writes_ahead(url: str, tmp_path: Path) -> None:
    store.connect(url, create=True)
    db = sqlite3.connect(tmp_path / "store.db")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_study_carries_its_space_and_optuna_reads_it(url: str) -> None:
    space = file.parse_space(TINY, ["budget.trials=7"])
    storage = store.connect(url, create=True)
    store.create_study(storage, space, TINY, ["budget.trials=7"])
    again = store.load_study(store.connect(url), "tiny")
    assert store.space_of(again) == space
    assert again.user_attrs[store.SPACE_SHA256] == space.digest()
    plain = optuna.load_study(study_name="tiny", storage=url)
    assert plain.direction == optuna.study.StudyDirection.MAXIMIZE
    assert plain.metric_names == ["top1"]


def test_what_differs_is_told_key_by_key(url: str) -> None:
    study = store.create_study(store.connect(url, create=True), file.parse_space(TINY), TINY, [])
    changed = file.parse_space(TINY, ["budget.steps=8", "space.batch_size=16", "space.l2=1e-4", "budget.trials=99"])
    assert store.differences(study, changed) == [
        "budget.steps: 6 in the study, 8 in the file",
        "space.batch_size: 32 in the study, 16 in the file",
        "space.l2: absent in the study, 0.0001 in the file",
    ]
    assert store.differences(study, file.parse_space(TINY)) == []


def test_a_deleted_study_leaves_nothing_to_the_next_of_its_number(url: str) -> None:
    storage = store.connect(url, create=True)
    for _ in range(2):
        study = store.create_study(storage, file.parse_space(TINY), TINY, [])
        assert store.id_of(storage, study) == 1
        assert fakes.work(storage, study, fakes.learning) == 4
        assert len(store.readings(storage.engine, 1, 0)) == 4
        optuna.delete_study(study_name="tiny", storage=storage)


def test_a_study_of_another_program_is_refused(url: str) -> None:
    storage = store.connect(url, create=True)
    foreign = optuna.create_study(storage=storage, study_name="foreign")
    with pytest.raises(StoreError, match="carries no search space"):
        store.space_of(foreign)
    with pytest.raises(StoreError, match=r"no study 'nope' in sqlite.*'foreign'.*sweeps create"):
        store.load_study(storage, "nope")
    with pytest.raises(StoreError, match="did you mean 'foreign'"):
        store.load_study(storage, "foriegn")


def broken_schema(url: str, statement: str) -> None:
    store.connect(url, create=True)
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def test_an_unknown_schema_of_optuna_is_one_line(url: str) -> None:
    broken_schema(url, "UPDATE alembic_version SET version_num = 'v99.0.0'")
    with pytest.raises(StoreError, match="schema is unknown") as caught:
        store.connect(url)
    assert "\n" not in str(caught.value)


def test_a_schema_of_ours_from_the_future_is_one_line(url: str) -> None:
    broken_schema(url, "UPDATE sweeps_alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="made by a newer version of sweeps"):
        store.connect(url)


def test_stores_that_cannot_be_used_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be read as one" * 20)
    for url, create, words in [
        (f"sqlite:///{tmp_path}/none.db", False, "no store at"),
        (f"sqlite:///{tmp_path}/no/such/folder.db", True, "check that the folder exists"),
        (f"sqlite:///{tmp_path}", True, "cannot be opened"),
        (f"sqlite:///{tmp_path}/text.db", True, "not a SQLite database"),
        ("sqlite://", True, "in memory"),
        ("nonsense", True, "not a URL"),
        ("nonsense://host/db", True, "driver is not installed"),
        ("oracle+oracledb://me:secret@127.0.0.1/db", True, "driver is not installed"),
    ]:
        with pytest.raises(StoreError, match=words) as caught:
            store.connect(url, create=create)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    assert not (tmp_path / "none.db").exists()


def test_a_password_is_never_shown() -> None:
    assert store.masked("postgresql+psycopg://me:secret@host/db") == "postgresql+psycopg://me:***@host/db"
    for url in ("postgresql+psycopg://me@host/db?password=s%2Fecret", "mysql+pymysql://me@host/db?password=s%2Fecret"):
        assert "ecret" not in store.masked(url)
        with pytest.raises(StoreError) as caught:
            store.connect(url.replace("host", "127.0.0.1:1"))
        assert "ecret" not in str(caught.value)


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12)


@given(user=WORDS, password=st.text(min_size=1, max_size=20).filter(str.strip), host=WORDS)
def test_a_password_of_any_characters_is_masked_where_it_stands_and_nowhere_else(
    user: str, password: str, host: str
) -> None:
    shown = URL.create("postgresql+psycopg", "u" + user, password, "h" + host, database="sweeps")
    masked = store.masked(shown.render_as_string(hide_password=False))
    assert masked == f"postgresql+psycopg://u{user}:***@h{host}/sweeps"
    in_query = URL.create(
        "postgresql+psycopg", "u" + user, None, "h" + host, database="s", query={"password": password}
    )
    assert store.masked(in_query.render_as_string()) == f"postgresql+psycopg://u{user}@h{host}/s?password=***"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://postgres:postgres@postgres/db", "postgresql://postgres:***@postgres/db"),
        ("postgresql://me:p@pgpool/sweeps", "postgresql://me:***@pgpool/sweeps"),
        ("sqlite:///run#1.db", "sqlite:///run#1.db"),
        ("sqlite:////tmp/a b/50%.db", "sqlite:////tmp/a b/50%.db"),
    ],
)
def test_words_that_are_like_a_password_stay_readable(url: str, masked: str) -> None:
    assert store.masked(url) == masked
    assert store.has_secret(url) == ("***" in masked)


@pytest.mark.parametrize("password", ["p@ss", "a/b@css", "@ss"])
def test_a_password_that_tears_the_url_is_not_shown_by_half(password: str) -> None:
    url = f"postgresql://me:{password}@host/db"
    with pytest.raises(StoreError, match="percent-encoded") as caught:
        store.connect(url)
    assert "ss" not in store.masked(url)
    assert "ss@" not in str(caught.value)


def test_what_a_driver_says_has_no_password_in_it_and_stays_readable() -> None:
    url = make_url("postgresql://postgres:postgres@host/db")
    said = 'connection to server at "host" failed: password authentication failed for user "postgres"'
    assert hide_secrets(said, url) == said
    assert "postgres:postgres" not in hide_secrets("cannot open postgresql://postgres:postgres@host/db", url)
    assert "postgres" not in hide_secrets("dsn: password=postgres", url)
    assert hide_secrets("a pool of p pools", make_url("postgresql://me:p@host/db")) == "a pool of *** pools"
    assert "s/cret" not in hide_secrets("invalid: s/cret", make_url("postgresql://me:s%2Fcret@host/db"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:secret@host:abc/db",
        "postgresql+psycopg://me:secret@host:99999/db",
        "mysql+pymysql://me:secret@127.0.0.1:1/db?foo=bar",
        "mysql+pymysql://me:secret@127.0.0.1:1/db?charset=utf9",
        "mysql+pymysql://me:secret@127.0.0.1:1/db?ssl_ca=/nowhere.pem",
        "sqlite:///me:secret@host/store.db",
    ],
)
def test_what_a_driver_cannot_read_is_one_line(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        store.connect(url)
    assert "secret" not in str(caught.value)
    assert "the file cannot be opened" not in str(caught.value), "it is no file"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", ['{"activation": "swish2"}', "[1]", "no JSON"])
def test_a_config_that_somebody_edited_is_one_line(url: str, config: str) -> None:
    study = store.create_study(store.connect(url, create=True), file.parse_space(TINY), TINY, [])
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"fate": "learned", "config": config}))
    with pytest.raises(StoreError, match="a trial's config cannot be read") as caught:
        finished_trials(study.get_trials())
    assert "\n" not in str(caught.value)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("folder", "of_file", "of_folder"), [(0o755, 0o600, 0o700), (0o1777, 0o600, 0o700), (0o2775, 0o640, 0o750)]
)
def test_a_store_and_its_artifacts_are_their_owner_s_alone_but_in_a_folder_for_a_group(
    tmp_path: Path, folder: int, of_file: int, of_folder: int
) -> None:
    tmp_path.chmod(folder)
    before = os.umask(0o027)
    try:
        url = f"sqlite:///{tmp_path}/store.db"
        storage = store.connect(url, create=True)
        where = store.artifacts(url)
        assert where is not None
        artifact_location(where).write("checkpoints/one", b"state")
        beside = [path for path in tmp_path.iterdir() if path.is_file()]
        assert len(beside) > 1, "the files of a store that is open"
        assert {rights(path) for path in beside} == {of_file}
        assert rights(Path(where)) == of_folder
        assert artifact_location(where).read("checkpoints/one") == b"state"
        storage.engine.dispose()
    finally:
        os.umask(before)
