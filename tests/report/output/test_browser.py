"""The page in a real browser: Chromium, which `make chromium` installs on Debian."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.__main__ import run_command

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make .venv/installed-dev")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: make chromium")
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(writer: Callable[[Path], Make], tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("page") / "trial"
    make_run = writer(study)
    claims = [{"id": "c", "statement": "Plain is best.", "expect": "plain > dropout > bn_dropout"}]
    edits = {"plain": {}, "dropout": {"drop3": {}}, "bn": {"bn1": {}}, "bn_dropout": {"drop3": {}, "bn1": {}}}
    for number, (variant, made) in enumerate(edits.items()):
        for seed in range(3):
            final = 0.6 - number / 50 + seed / 100 + (seed == number) / 300
            make_run(variant, seed, (0.4, 0.5, final), edits=made, study={"claims": claims})
    assert run_command(["report", str(study)]) == 0
    return study / "report" / "index.html"


def opened(browser: "sync_api.Browser", file: Path, theme: str, width: int) -> "tuple[sync_api.Page, list[str]]":
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:100]))
    page.goto(file.as_uri())
    return page, complaints


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_without_an_error_and_fits(
    theme: str, width: int, browser: "sync_api.Browser", page_file: Path
) -> None:
    page, complaints = opened(browser, page_file, theme, width)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
    text = page.evaluate("getComputedStyle(document.body).color")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (brightness(text) < brightness(background)) == (theme == "light")
    shown = page.evaluate("document.images[0].currentSrc")
    assert shown.startswith("data:image/svg+xml")
    assert (shown == page.evaluate("document.images[0].src")) == (theme == "light")


def test_a_table_sorts_by_its_numbers(browser: "sync_api.Browser", page_file: Path) -> None:
    page, complaints = opened(browser, page_file, "light", 1280)
    head = page.locator("#test_accuracy thead th", has_text="mean").first
    column = "[...document.querySelectorAll('#test_accuracy tbody tr')].map(row => Number(row.cells[3].dataset.value))"
    before = page.evaluate(column)
    head.locator("button").click()
    assert page.evaluate(column) == sorted(before) != before
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert page.evaluate(column) == sorted(before, reverse=True)
    page.locator("#test_accuracy thead th button").first.press("Enter")
    names = "[...document.querySelectorAll('#test_accuracy tbody tr')].map(row => row.cells[0].textContent)"
    assert page.evaluate(names) == sorted(page.evaluate(names))
    assert complaints == []


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
