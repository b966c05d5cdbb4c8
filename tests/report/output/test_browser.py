"""The page in a real browser: Chromium, which `make chromium` installs on Debian."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.__main__ import run_command

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make .venv/installed-dev")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: make chromium")
AXE = Path(__file__).parents[3] / "build" / "axe" / "package" / "axe.min.js"
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
@pytest.mark.parametrize("width", [1920, 1280, 390])
def test_the_page_opens_without_an_error_and_fits(
    theme: str, width: int, browser: "sync_api.Browser", page_file: Path
) -> None:
    page, complaints = opened(browser, page_file, theme, width)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.evaluate("getComputedStyle(document.body).color")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (brightness(text) < brightness(background)) == (theme == "light")
    stroke = page.evaluate("getComputedStyle(document.querySelector('#section-claims svg text')).fill")
    assert stroke == text


def test_a_table_sorts_by_its_numbers(browser: "sync_api.Browser", page_file: Path) -> None:
    page, complaints = opened(browser, page_file, "light", 1280)
    page.locator("#section-results > summary").click()
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


def test_the_first_screen_has_verdicts_table_and_figure_and_the_rest_is_folded(
    browser: "sync_api.Browser", page_file: Path
) -> None:
    page, complaints = opened(browser, page_file, "light", 1280)
    card = page.locator("ul.cards li").first
    assert "Plain is best." in card.inner_text()
    assert card.locator("dt").all_inner_texts() == ["plain > dropout", "dropout > bn_dropout", "plain > bn_dropout"]
    for what in ("ul.cards", "table.paper", "figure.curves > svg"):
        assert page.locator(what).first.bounding_box()["y"] < 900
    assert page.locator("details[open]").count() == 0
    card.get_by_role("link", name="Evidence").click()
    assert page.locator("details[open] h2").all_inner_texts() == ["Claims"]
    page.locator("nav a", has_text="Time").press("Enter")
    page.wait_for_function("document.querySelector('nav a[aria-current]').textContent === 'Time'")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert complaints == []


def test_a_number_leads_to_its_runs(browser: "sync_api.Browser", page_file: Path) -> None:
    page, complaints = opened(browser, page_file, "light", 1280)
    row = page.locator("table.paper tbody tr", has=page.locator("td", has_text="bn_dropout"))
    row.locator("a.runs").first.click()
    chosen = page.locator("#each_run tr.chosen td:first-child")
    assert chosen.all_inner_texts() == ["bn_dropout"] * 3
    assert chosen.first.is_visible()
    row.locator("a.runs").nth(1).press("Enter")
    assert sorted(chosen.all_inner_texts()) == ["bn_dropout"] * 3 + ["plain"] * 3
    assert complaints == []


def test_curves_say_their_values_and_switch(browser: "sync_api.Browser", page_file: Path) -> None:
    page, complaints = opened(browser, page_file, "light", 1280)
    said, legend = page.locator("figure.curves output"), page.locator("figure.curves .legend li").first
    assert (said.inner_text(), legend.inner_text()) == ("epoch 3 of 3", "plain: 61.11 % (60.33 to 62)")
    page.locator("figure.curves input").press("ArrowLeft")
    assert (said.inner_text(), legend.inner_text()) == ("epoch 2 of 3", "plain: 50 %")
    box = page.locator("figure.curves > svg").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 50)
    assert said.inner_text() == "epoch 1 of 3"
    page.get_by_role("combobox", name="Metric").select_option("test loss")
    assert legend.inner_text() == "plain: 0.6"
    assert not page.locator("select[aria-label='Data set']").is_visible()
    assert complaints == []


@pytest.mark.skipif(not AXE.is_file(), reason="there is no axe-core: make axe")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_a_checker_of_accessibility_finds_nothing_serious(
    theme: str, width: int, browser: "sync_api.Browser", page_file: Path
) -> None:
    page, _ = opened(browser, page_file, theme, width)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")["violations"]
    assert {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in ("serious", "critical")} == {}


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
