"""The dashboard's pages in a real browser: notes and pictures show, nothing goes wrong on console or network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import fakes
import pytest
from browser import opened
from fakes import TINY
from playwright.sync_api import Browser, Page, expect
from test_dashboard import Dashboard

from sweeps import store
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.store import notes

RUNS = {
    "learned": fakes.learning,
    "at chance": fakes.chancing,
    "collapsed": fakes.collapsing,
    "diverged": fakes.diverging,
    "failed": fakes.raising,
}


@dataclass(frozen=True)
class Served:
    """A study in its dashboard; `numbers` are those of a trial with each fate."""

    dashboard: Dashboard
    storage_url: str
    numbers: dict[str, int]

    def url(self, path: str) -> str:
        return f"{self.dashboard.address}dashboard/studies/1{path}"

    def open(self, page: Page, path: str) -> None:
        """Go to a page of the study, as who has the token."""
        page.goto(self.dashboard.shown)
        page.goto(self.url(path))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A study with a trial of each fate, made by a real worker, in the real command."""
    folder = tmp_path_factory.mktemp("pages")
    storage = store.connect(f"sqlite:///{folder}/sweeps.db", create=True)
    overrides = [f"budget.trials={len(RUNS) + 3}", "verdict.control=0"]
    study = store.create_study(storage, file.parse_space(TINY, overrides), TINY, overrides)
    runs = iter([*RUNS.values(), *[fakes.learning] * 3])
    fakes.work(storage, study, lambda config, arrays, state: next(runs)(config, arrays, state), drawn=True)
    fates = [trial.user_attrs["fate"] for trial in study.trials]
    storage.engine.dispose()
    dashboard = Dashboard(folder, environment={})
    yield Served(dashboard, storage.url, {fate: fates.index(fate) for fate in RUNS})
    assert dashboard.end()[0] == 0


def require_no_sideways(page: Page) -> None:
    """The page is as wide as its window: what is longer would have to be looked for."""
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_from_the_list_of_studies_to_the_study(chromium: Browser, served: Served) -> None:
    with opened(chromium) as page:
        page.goto(served.dashboard.shown)
        page.get_by_text("1. tiny").click()
        expect(page).to_have_url(served.url(""))
        for heading in ("History", "Hyperparameter Importance", "Intermediate values", "Study User Attributes"):
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.get_by_role("cell", name="Does it run?")).to_be_visible()
        page.wait_for_selector("#optimization-history .plotly, .js-plotly-plot")
        expect(page.locator("body")).not_to_contain_text("holdout_images")  # the file is in the note
        require_no_sideways(page)


def test_the_studys_note_says_how_it_stands_and_leads_to_the_best_trial(chromium: Browser, served: Served) -> None:
    with opened(chromium) as page:
        served.open(page, "/note")
        expect(page.get_by_role("heading", name="Does it run?")).to_be_visible()
        expect(page.get_by_role("heading", name="As of 8 of 8 trials")).to_be_visible()
        row = page.get_by_role("row").filter(has_text=re.compile("^learned"))
        expect(row.get_by_role("cell").nth(1)).to_have_text("4")
        expect(page.get_by_text('activation = ["relu", "selu"]')).to_be_visible()
        page.get_by_role("link", name=re.compile(r"trial \d+")).click()
        expect(page.get_by_role("heading", name="Learned")).to_be_visible()
        expect(page.get_by_text("Best Trial").last).to_be_visible()


@pytest.mark.parametrize("fate", RUNS)
def test_each_trial_has_its_note_its_picture_and_its_config(chromium: Browser, served: Served, fate: str) -> None:
    number = served.numbers[fate]
    with opened(chromium, width=1280) as page:
        served.open(page, f"/trials?numbers={number}")
        expect(page.get_by_role("heading", name=re.compile(f"^Trial {number} "))).to_be_visible()
        title = {"learned": "Learned", "failed": "Failed"}.get(fate, "Autopsy: ")
        expect(page.get_by_role("heading", name=title)).to_be_visible()
        expect(page.locator("pre").filter(has_text="learning_rate = ")).to_be_visible()
        attributes = page.get_by_text(re.compile("^(fate|reason|config) "))
        expect(attributes.nth(0)).to_have_text(f"fate {fate}")
        expect(attributes.nth(1)).to_contain_text("reason")
        require_no_sideways(page)
        if fate == "failed":
            expect(page.locator("pre").filter(has_text="Traceback")).to_be_visible()
            expect(page.locator("img")).to_have_count(0)
            return
        picture = page.get_by_role("img", name=re.compile("^Curves and signals"))
        expect(picture).to_be_visible()
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 1000
        expect(page.get_by_text("trial.png")).to_be_visible()


def test_the_list_and_the_table_of_trials_have_all_of_them(chromium: Browser, served: Served) -> None:
    with opened(chromium) as page:
        served.open(page, "/trials")
        expect(page.get_by_text("8 Trials")).to_be_visible()
        served.open(page, "/smartSelection")
        rows = page.get_by_role("row").filter(has_text=re.compile("^[0-7](Complete|Pruned|Fail)"))
        expect(rows).to_have_count(8)
        expect(page.get_by_role("columnheader", name="UserAttribute fate")).to_be_visible()
        assert max(box["height"] for row in rows.all() if (box := row.bounding_box())) < 100, "a few lines at most"


def test_what_a_person_writes_is_saved_and_stays_while_the_note_is_kept_fresh(
    chromium: Browser, served: Served
) -> None:
    storage = store.connect(served.storage_url)
    study = store.load_study(storage, "tiny")
    with opened(chromium) as page:
        served.open(page, "/note")
        expect(page.get_by_role("heading", name="Does it run?")).to_be_visible()
        page.locator("button:has([data-testid=EditIcon])").click()
        editor = page.locator("textarea").first
        editor.press("Control+End")
        editor.press_sequentially("Look at the **labels**.")
        notes.write_note(storage.engine, 1, None, "As of more trials")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("strong", has_text="labels")).to_be_visible()
        study_notes.refresh_note(storage, study)
        page.reload()
        expect(page.locator("strong", has_text="labels")).to_be_visible()
        expect(page.get_by_role("heading", name="As of 8 of 8 trials")).to_be_visible()
    storage.engine.dispose()
