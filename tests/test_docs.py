"""The manual's claims that a machine can check: its commands run, its tables are complete, its links lead somewhere.

docs/architecture.md says how pages are written for that; stand_ins.py has the programs that stand in for others.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
import stand_ins
import tomli_w
import typer
from browser import opened
from image_trees import class_folders
from manual import PAGES, ROOT, Command, Page, page
from playwright.sync_api import Browser, expect
from servers import PostgreSQL
from typer.core import TyperArgument, TyperOption

from sweeps import config, verdict
from sweeps.cli import app
from sweeps.data.oddities import CHECKS
from sweeps.space import file as space_file
from sweeps.space.file_parameters import hyperparameters
from sweeps.space.schema import json_schema
from sweeps.store import attributes
from sweeps.worker.rehearsal import FIRST_STEP, VALUES_READ

sys.path.append(str(Path(__file__).parent / "launch"))

import kubernetes_api

# Commands that are not run here: why, and the test that runs what they do.
ELSEWHERE = {
    "sweeps (run|export) .*places365_grey_cnn": (
        "a long sweep",
        "tests/space/test_search_spaces.py::test_a_small_sweep_of",
    ),
    r"python own_script\.py": ("the same file is run there", "tests/integrations/test_example.py::test_the_script_of"),
    r"docker compose .* up": ("there is no Docker", "tests/docker/test_compose.py::test_compose_files_have_known_keys"),
    r"docker compose .* pg_(dump|restore)": (
        "there is no Docker",
        "tests/store/test_backup.py::test_postgresql_by_pg_dump",
    ),
    r"pg_(dump|restore)": (
        "a server with data in it is there",
        "tests/store/test_backup.py::test_postgresql_by_pg_dump",
    ),
}
# What the pages take as examples, and what it is here; a page that says none of these has no server started for it.
URL, POD_URL = "postgresql+psycopg://me:password@host/sweeps", "postgresql+psycopg://me:password@db.example/sweeps"
NO_HOST = "postgresql+psycopg://me:password@db.invalid/sweeps"
URL_FILE, SHARED = "$PWD/docker/secrets/storage_url_from_here", "/shared/sweeps"
ME = {f"GIT_{who}_{what}": f"me@{what.lower()}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
KNOWN_LANGUAGES = {"sh", "console", "text", "toml", "python"}


def names(pages: list[Page]) -> list[str]:
    return [each.name for each in pages]


each_page = pytest.mark.parametrize("each", PAGES, ids=names(PAGES))
with_commands = [each for each in PAGES if each.commands]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the manual has it, with the quickstart's study, in small."""
    folder = tmp_path_factory.mktemp("manual")
    for name in ("search_spaces", "docker"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(folder)], check=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()  # this environment is active
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "begun"]):
        subprocess.run(["git", *words], cwd=folder, env={**os.environ, **ME}, check=True)
    class_folders(folder / "places365_standard", classes=3, train=4, holdout=2)
    stand_ins.install(folder / "bin")
    run(folder, [Command("sweeps run search_spaces/quickstart.toml")])
    return folder


def run(folder: Path, commands: list[Command], **environment: str) -> None:
    """The commands, in one shell; those of a mistake end with exit code 2 and the line that the page shows."""
    lines = ["set -eu -o pipefail", "trap 'echo \"in: $BASH_COMMAND\" >&2' ERR"]
    for command in commands:
        if any(re.match(pattern, command.typed) for pattern in ELSEWHERE):
            continue
        if not command.error:
            lines.append(command.typed)
            continue
        lines += [f"code=0; {command.typed} 2> said || code=$?", "test $code = 2"]
        lines += [f"grep --quiet --line-regexp --fixed-strings -- {shlex.quote(command.error)} said"]
    inherited = {"PATH": os.environ["PATH"]} | environment
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, **ME, **inherited, "PATH": f"{folder}/bin:{inherited['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def database(postgres: PostgreSQL) -> str:
    """The URL of one that all pages share."""
    return postgres.database("manual")


@pytest.fixture
def stood_in(each: Page, place: Path, request: pytest.FixtureRequest) -> Iterator[tuple[list[Command], dict[str, str]]]:
    """A page's commands with what the pages' examples stand for, and the environment that they need."""
    typed = "\n".join(command.typed for command in each.commands)
    put = {SHARED: str(place / "shared"), POD_URL: NO_HOST}
    environment: dict[str, str] = {}
    if URL in typed or URL_FILE in typed:
        put[URL] = request.getfixturevalue("database")
        put[URL_FILE] = str(place / "url")
        (place / "url").write_text(put[URL])
    if "launch slurm" in typed:
        environment |= request.getfixturevalue("slurm").environment
    commands = each.commands
    for example, real in put.items():
        commands = [Command(command.typed.replace(example, real), command.printed) for command in commands]
    with kubernetes_api.serving(kubernetes_api.Cluster()) as url:
        kubernetes_api.write_kubeconfig(place / "kubeconfig", url)
        yield commands, {**environment, "KUBECONFIG": str(place / "kubeconfig")}
    for prepared in place.glob("places365_grey_*"):
        shutil.rmtree(prepared)  # the next page prepares its own


@pytest.mark.tensorflow
@pytest.mark.parametrize("each", with_commands, ids=names(with_commands))
def test_the_commands_of_a_page_run_one_after_the_other(
    each: Page, place: Path, stood_in: tuple[list[Command], dict[str, str]]
) -> None:
    for block in each.blocks:
        if block.title:
            (place / block.title).parent.mkdir(exist_ok=True)
            (place / block.title).write_text(block.text)
    commands, environment = stood_in
    run(place, commands, **environment)


def test_the_pages_have_commands() -> None:
    assert sum(len(each.commands) for each in PAGES) >= 30
    assert {"README.md", "docs/tutorial.md", "docs/your-own.md", "docs/cluster.md"} <= set(names(with_commands))


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_what_is_not_run_here_is_shown_and_is_run_by_a_test(pattern: str) -> None:
    assert any(re.match(pattern, command.typed) for each in PAGES for command in each.commands)
    file, _, name = ELSEWHERE[pattern][1].partition("::")
    assert f"def {name}" in (ROOT / file).read_text()


@each_page
def test_every_block_is_of_a_kind_that_is_checked(each: Page) -> None:
    assert len(re.findall(r"^ *```", each.text, re.MULTILINE)) == 2 * len(each.blocks)
    assert {block.language for block in each.blocks} <= KNOWN_LANGUAGES
    assert not any(re.search(r"^\$ ", block.text, re.MULTILINE) for block in each.blocks if block.language == "text")
    assert all(block.title for block in each.blocks if block.language == "python"), "a command is to run it: name it"


def tomls() -> list[Any]:
    found = [(each.name, block.text) for each in PAGES for block in each.blocks if block.language == "toml"]
    return [pytest.param(text, id=f"{name}-{number}") for number, (name, text) in enumerate(found)]


@pytest.mark.parametrize("text", tomls())
def test_an_example_of_a_search_space_is_valid(text: str) -> None:
    tables = {"study": {"name": "part"}, "space": {"activation": "relu"}} | tomllib.loads(text)
    assert list(space_file.parse_space(tomli_w.dumps(tables)).rehearsals())


def test_the_first_example_of_a_search_space_has_all_tables_and_choices() -> None:
    example = next(block.text for block in page("docs/search-space.md").blocks if block.title == "example.toml")
    assert set(tomllib.loads(example)) == set(json_schema()["properties"]) - {"full"}
    assert len(list(space_file.parse_space(example).rehearsals())) > 1


def test_the_script_of_a_user_is_the_one_that_is_tested() -> None:
    shown = next(block.text for block in page("docs/your-own.md").blocks if block.title == "own_script.py")
    assert shown == (ROOT / "tests" / "integrations" / "own_script.py").read_text()


def test_what_the_readme_shows_of_a_transcript_is_in_the_tutorial() -> None:
    whole = {line for command in page("docs/tutorial.md").commands for line in command.printed}
    shown = [line for command in page("README.md").commands for line in command.printed if line != "..."]
    assert len(shown) > 20
    assert set(shown) <= whole


def test_every_room_is_in_the_plan_of_the_house() -> None:
    blocks = page("docs/architecture.md").blocks
    plan = next(block.text for block in blocks if "the commands, one module each" in block.text)
    for room in {path.stem for path in (ROOT / "sweeps").iterdir() if path.suffix == ".py" or path.is_dir()}:
        assert room.startswith("__") or re.search(rf"\b{room}\b", plan), room


def test_the_readme_is_a_few_screens() -> None:
    assert page("README.md").text.count("\n") <= 150


@pytest.mark.parametrize(
    "choices",
    [config.Activation, config.Initializer, config.Constraint, config.Optimizer, config.Dropout, config.Dtype],
)
def test_every_name_of_a_part_is_listed(choices: object) -> None:
    for name in get_args(choices):
        assert re.search(rf"\b{name}\b", page("docs/search-space.md").prose), name


def test_every_hyperparameter_source_fate_and_attribute_is_listed() -> None:
    for name in hyperparameters():
        if not name.startswith("model."):
            assert re.search(rf"\b{name}\b", page("docs/search-space.md").prose), name
    for source in config.SOURCES:
        assert f"`{source}`" in page("docs/your-own.md").prose, source
    for fate in set(verdict.Fate) - {verdict.Fate.LEARNING}:
        assert f"| {fate} |" in page("docs/verdict.md").prose, fate
    for name, value in vars(attributes).items():
        if name.isupper() and value not in (attributes.INTERRUPTED, attributes.FAILED):
            assert f"`{value}`" in page("docs/reference/attributes.md").prose, value


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words begin with, and those that are left."""
    found: Any = typer.main.get_command(app.app)
    while words and words[0] in getattr(found, "commands", {}):
        found, words = found.commands[words[0]], words[1:]
    return found, words


def spoken_of() -> list[str]:
    """`sweeps ...` in running text; where a word is a choice of several, one of each."""
    found = []
    for code in {code for each in PAGES for code in each.inline if code.startswith("sweeps ")}:
        choices = next((word for word in code.split() if re.fullmatch(r"\w+(\|\w+)+", word)), "")
        found += [code.replace(choices, word) for word in choices.split("|")] if choices else [code]
    return sorted(found)


@pytest.mark.parametrize("code", spoken_of())
def test_a_command_and_an_option_that_are_spoken_of_exist(code: str) -> None:
    command, rest = command_of(re.sub(r"[][]", "", code).split()[1:])
    assert not getattr(command, "commands", {}), "it names no command"
    options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options | {"--help"}


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app.app).commands))  # type: ignore[attr-defined]
def test_every_command_is_in_the_list_of_commands(command: str) -> None:
    assert any(code.startswith(f"sweeps {command} ") or code == f"sweeps {command}" for code in listed())


def listed() -> list[str]:
    rows = [line for line in page("docs/commands.md").prose.splitlines() if line.startswith("| `sweeps")]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.mark.tensorflow
def test_the_table_of_warnings_is_the_list_of_checks() -> None:
    from sweeps.nn.net_checks import NET_CHECKS

    text = page("docs/checks.md").text.partition("## Warnings")[2].partition("##")[0]
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == [*CHECKS, *NET_CHECKS, VALUES_READ, FIRST_STEP]


@each_page
def test_every_file_and_target_that_is_named_is_there(each: Page) -> None:
    for code in [*each.inline, *(command.typed for command in each.commands)]:
        for target in re.findall(r"(?<![\w./-])(?:sweeps|tests|benchmarks|search_spaces|docs|docker)/[\w./*-]*", code):
            if re.match(r"docker/secrets(/|$)", target):
                continue  # the reader makes it
            assert list(ROOT.glob(target.rstrip("/"))), target
        for target in re.findall(r"^make (\w+)$", code):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@each_page
def test_links_are_https_or_lead_to_a_file(each: Page) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", each.prose):
        if "://" in link:
            assert link.startswith("https://"), link
        elif target := link.partition("#")[0]:
            assert (each.path.parent / target).exists(), link


# The build with no network and no TensorFlow: any attempt is an error.
BUILD = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise PermissionError(f"{event} {arguments}")
sys.addaudithook(refuse)
from mkdocs.__main__ import cli
try:
    cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[1]])
except SystemExit as exc:
    assert not exc.code, exc.code
heavy = {"tensorflow", "keras"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual as a site; no page is missing in it, no link or anchor leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Fetched(HTMLParser):
    """What a browser fetches by itself for a page, and the page's text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.words = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        url = found.get("href") if tag == "link" else None if tag == "a" else found.get("src")
        if url:
            self.urls.append(url)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.tensorflow
def test_nothing_of_the_site_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) == len(PAGES)  # with 404.html, without README.md
    for each in pages:
        for url in Fetched(each).urls:
            assert "//" not in url, (each, url)
            assert url.startswith("/") or (each.parent / url.partition("?")[0]).exists(), (each, url)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """The site at a URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.tensorflow
def test_the_site_fits_a_narrow_screen(served: str, chromium: Browser) -> None:
    with opened(chromium, width=390, height=844) as shown:
        for name in ("index.html", "tutorial.html", "comparison.html", "reference/cli.html"):
            shown.goto(served + name)
            expect(shown.locator("h1")).to_be_visible()
            assert shown.evaluate("document.documentElement.scrollWidth") <= 390, name


@pytest.mark.tensorflow
def test_the_site_is_searched_and_asks_nothing_of_elsewhere(served: str, chromium: Browser) -> None:
    asked: list[str] = []
    with opened(chromium) as shown:
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(served + "index.html")
        shown.get_by_role("textbox", name="Search").click()
        shown.get_by_role("textbox", name="Search").press_sequentially("squeeze-and-excitation")
        shown.locator(".md-search-result__link[href*='documents.html']").first.click()
        expect(shown.get_by_role("heading", name="What the documents said")).to_be_visible()
    assert not [url for url in asked if not url.startswith((served, "data:", "blob:"))]


@pytest.mark.tensorflow
def test_the_reference_has_every_command_and_option(site: Path) -> None:
    words = Fetched(site / "reference" / "cli.html").words
    todo = [("sweeps", typer.main.get_command(app.app))]
    while todo:
        name, command = todo.pop()
        inner = getattr(command, "commands", {})
        todo += [(f"{name} {each}", inner[each]) for each in inner]
        section = words.partition(f"{name} [OPTIONS]")[2].partition("\nsweeps ")[0]
        for parameter in () if inner else command.params:
            assert all(option in section for option in parameter.opts if option.startswith("-")), (name, parameter.opts)
            assert isinstance(parameter, TyperArgument | TyperOption)
            assert parameter.help is not None
            assert parameter.help.replace("`", "") in section, (name, parameter.opts)


@pytest.mark.tensorflow
def test_the_reference_has_every_key_of_a_search_space(site: Path) -> None:
    words = Fetched(site / "reference" / "search-space.html").words
    for name, table in json_schema()["properties"].items():
        assert f"[{name}]" in words
        for key in table["properties"]:
            assert re.search(rf"\b{re.escape(key)}\b", words), (name, key)


@pytest.mark.tensorflow
def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    words = " ".join(Fetched(site / "reference" / "python.html").words.split())
    for said in (config.Config, verdict.Rules, verdict.judge):
        assert " ".join(str(said.__doc__).split("\n")[0].split()).replace("`", "") in words
