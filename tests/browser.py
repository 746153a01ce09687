"""A real browser for the tests: Debian's chromium, driven by Playwright. `tests/conftest.py` imports the fixture."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright
from servers import absent

ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LIMIT_MS = 60_000.0


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The worker's browser, shared by its tests."""
    program = shutil.which("chromium")
    if program is None:
        absent("no chromium here (Debian: apt-get install chromium)")
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A page of a window of its own; at its end nothing may have gone wrong in it: on the console or on the network."""
    troubles: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left meanwhile
            troubles.append(f"{request.url}: {request.failure}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            troubles.append(f"{response.url}: {response.status}")

    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(LIMIT_MS)
    page.on("console", said)
    page.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
    page.on("requestfailed", failed)
    page.on("response", answered)
    try:
        yield page
        assert not troubles, "\n".join(troubles)
    finally:
        page.close()
