"""Pages in a real browser: set-up, sign-in and start page, with the results of the whole demo."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright
from rich.console import Console

from midspan.demo.processes import Process
from midspan.demo.run import SCENARIOS, play, staged
from midspan.demo.scenario import Stage

PROGRAM = "chromium"
QUIET = (
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PASSWORD = "chosen in the browser"

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PROGRAM) and not os.environ.get("CI"),
        reason=f"needs {PROGRAM}: apt-get install {PROGRAM}, or make test-system",
    ),
]


class Watched:
    """A page, what its console complained of and which hosts it asked."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def width(self) -> int:
        """Return how wide the whole page is, in pixels."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        program = shutil.which(PROGRAM)
        opened = driver.chromium.launch(executable_path=program, args=QUIET, headless=True)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo after its last scenario."""
    said = io.StringIO()
    console = Console(file=said, width=200)
    with staged(tmp_path_factory.mktemp("demo") / "data") as stage:
        results = [play(each, number, stage, console) for number, each in enumerate(SCENARIOS, 1)]
        assert all(result.held for result in results), said.getvalue()
        yield stage


def test_the_set_up_link_leads_to_the_start_page(browser: Browser, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ["serve", "--ephemeral", "--port", "0"]
    process = Process("midspan", arguments, log, {"MIDSPAN_ADMIN_PASSWORD": ""})
    try:
        url = process.ready()["url"]
        found = re.search(r"^http\S+/setup\?token=\S+$", log.read_text(), re.MULTILINE)
        assert found is not None, log.read_text()
        with browser.new_context() as context:
            seen = Watched(context)
            seen.page.goto(found[0])
            seen.page.get_by_label("New password").fill(PASSWORD)
            seen.page.get_by_label("The same again").fill(PASSWORD)
            seen.page.get_by_role("button", name="Set password and sign in").click()
            seen.page.wait_for_url(f"{url}/")
            assert seen.page.get_by_role("heading", name="What runs here").is_visible()
            assert seen.page.get_by_text("Midspan 0.").is_visible()
            assert seen.complaints == []
            assert seen.hosts == {urlsplit(url).netloc}
    finally:
        process.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_sign_in_leads_to_the_four_results(
    browser: Browser, stage: Stage, scheme: Literal["light", "dark"], width: int
) -> None:
    size = ViewportSize(width=width, height=900)
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        seen = signed_in(context, stage)
        cards = seen.page.locator("li.card", has=seen.page.locator(".badge"))
        assert cards.count() == len(SCENARIOS)
        for number, scenario in enumerate(SCENARIOS):
            card = cards.nth(number)
            assert card.get_by_role("heading", name=scenario.title).is_visible()
            assert card.get_by_text("✓ held").is_visible()
            assert card.get_by_text(scenario.opened_by).is_visible()
        assert seen.page.get_by_text("4 of 4 held as promised").is_visible()
        assert seen.width() <= width
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
        assert (brightness < 128) == (scheme == "dark"), ground
        assert seen.complaints == []
        assert seen.hosts == {urlsplit(stage.url).netloc}


def test_every_link_of_the_start_page_leads_to_a_page(browser: Browser, stage: Stage) -> None:
    with browser.new_context(viewport={"width": 420, "height": 900}) as context:
        seen = signed_in(context, stage)
        links = seen.page.eval_on_selector_all("main a", "all => all.map(each => each.href)")
        assert len(set(links)) > 20
        for link in sorted(set(links)):
            answer = seen.page.goto(link)
            assert answer is not None
            assert answer.status == 200, link
            assert seen.page.locator("h1").inner_text(), link
            assert seen.width() <= 420, link
        assert seen.complaints == []
        assert seen.hosts == {urlsplit(stage.url).netloc}


def test_the_policy_is_in_force_and_a_breach_would_be_heard(browser: Browser, stage: Stage) -> None:
    with browser.new_context() as context:
        seen = signed_in(context, stage)
        with seen.page.expect_console_message(lambda message: message.type == "error"):
            seen.page.evaluate("document.body.setAttribute('style', 'color: red')")
        assert "Content Security Policy" in seen.complaints[0]


def signed_in(context: BrowserContext, stage: Stage) -> Watched:
    """Sign in by the form and return the start page."""
    seen = Watched(context)
    seen.page.goto(f"{stage.url}/")
    assert "/login" in seen.page.url
    seen.page.get_by_label("User name").fill("admin")
    seen.page.get_by_label("Password").fill(stage.password)
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.wait_for_url(f"{stage.url}/")
    return seen
