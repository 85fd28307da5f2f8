"""The report in a real browser, opened from disk: what a reader sees, points at, types and waits for."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from experiments.report.site import write_site
from influence.matrix import InfluenceMatrix
from tests.chromium import headless
from tests.experiments.saved_report import HOSTILE, failed_run, image_run, large_run, text_run

pytestmark = pytest.mark.slow

SORT_SECONDS, TOOLTIP_SECONDS = 1.0, 0.1
LARGE = 1000


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    image_run(outputs / "shapes" / "aaa")
    image_run(outputs / "shapes" / "bbb", lr=0.5)
    image_run(outputs / "shapes" / "ccc", optimizer="adam")
    text_run(outputs / "sentences" / "ddd")
    large_run(outputs / "large" / "eee", LARGE)
    failed_run(outputs / "broken" / "fff")
    return outputs


@pytest.fixture(scope="module")
def page(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of their report."""
    return write_site([outputs], tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    """Debian's Chromium by Debian's driver; without them a skip, in CI a failure."""
    try:
        browser = headless()
    except FileNotFoundError as error:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(str(error))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Chrome, page: str) -> Iterator[Chrome]:
    """A fresh page; whatever a test does to it, nothing may be written to the console or asked of another place."""
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(page)
    chromium.execute_script("localStorage.clear()")
    yield chromium
    assert chromium.get_log("browser") == []
    folder = page.rsplit("/", 1)[0]
    asked = list(requests(chromium))
    assert any(url.startswith(folder) for url in asked)
    assert [url for url in asked if not url.startswith((folder, "data:", "blob:"))] == []


def requests(browser: Chrome) -> Iterator[str]:
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def until(browser: Chrome, condition: Callable[[], Any]) -> Any:
    wait = WebDriverWait(browser, 60, poll_frequency=0.02, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(lambda _: condition())


def find(browser: Chrome, css: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, css)


def texts(browser: Chrome, css: str) -> list[str]:
    return [found.text for found in browser.find_elements(By.CSS_SELECTOR, css)]


def run(browser: Chrome, script: str, *arguments: Any) -> Any:
    return browser.execute_script(script, *arguments)


def drawn(browser: Chrome) -> int:
    """How often the matrix has been drawn."""
    return int(find(browser, "#heatmap").get_attribute("data-drawn") or 0)


def open_matrix(browser: Chrome, place: str) -> None:
    before = drawn(browser)
    run(browser, "location.hash = `#explorer/${arguments[0]}`", place)
    until(browser, lambda: drawn(browser) > before)


def choose(browser: Chrome, id: str, text: str) -> None:
    """Choose from a list, and wait for the matrix to be drawn again."""
    before = drawn(browser)
    Select(find(browser, f"#{id}")).select_by_visible_text(text)
    until(browser, lambda: drawn(browser) > before)


def point_at(browser: Chrome, row: int, column: int, shape: tuple[int, int]) -> dict[str, str]:
    """Hover over a cell, as pictured; what the tooltip says, by name of the reading."""
    run(browser, "arguments[0].scrollIntoView({ block: 'center' })", find(browser, "#heatmap .nsewdrag"))

    def is_told() -> bool:
        """Points until it is: a move while the matrix is drawn is lost, and one that stands still tells nothing."""
        ground = find(browser, "#heatmap .nsewdrag")
        size = ground.size
        x = math.floor((column + 0.5) / shape[1] * size["width"] - size["width"] / 2)
        y = math.floor((row + 0.5) / shape[0] * size["height"] - size["height"] / 2)
        for nudge in (1, 0):
            ActionChains(browser, duration=0).move_to_element_with_offset(ground, x + nudge, y).perform()
        return bool(find(browser, "#tooltip").is_displayed())

    until(browser, is_told)
    return tooltip(browser)


def tooltip(browser: Chrome) -> dict[str, str]:
    figures = texts(browser, "#tooltip figure .code")
    readings = dict(zip(texts(browser, "#tooltip dt"), texts(browser, "#tooltip dd"), strict=True))
    return {"probe": figures[0], "target": figures[1], **readings}


def number(text: str) -> float:
    return float(text.split()[0].replace("\N{MINUS SIGN}", "-"))


def column(browser: Chrome, label: str) -> list[str]:
    """A column of the table of runs, as shown."""
    heads = texts(browser, "#run-table thead th")
    return texts(browser, f"#run-table tbody td:nth-child({heads.index(label) + 1})")


def press_head(browser: Chrome, label: str) -> WebElement:
    """Sort by a column with the keyboard; the head of it."""
    (head,) = [one for one in browser.find_elements(By.CSS_SELECTOR, "#run-table thead th") if one.text == label]
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    return head


def test_a_missing_browser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="expected chromium and chromedriver, got less; install chromium"):
        headless()


def test_the_table_of_runs_sorts(browser: Chrome) -> None:
    assert sorted(column(browser, "Run")) == ["aaa", "bbb", "ccc", "ddd", "eee", "fff"]
    head = press_head(browser, "Experiment")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(browser, "Experiment") == ["broken", "large", "sentences", "shapes", "shapes", "shapes"]
    press_head(browser, "Experiment")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(browser, "Experiment") == ["shapes", "shapes", "shapes", "sentences", "large", "broken"]
    press_head(browser, "Matrix")
    sizes = [re.findall(r"\d+", shape) for shape in column(browser, "Matrix")]
    assert sizes == [["1000", "1000"], ["6", "24"], *[["5", "8"]] * 3, []]


def test_the_table_of_runs_filters(browser: Chrome) -> None:
    find(browser, "#filter").send_keys("shapes sgd")
    assert column(browser, "Run") == ["aaa", "bbb"]
    assert find(browser, "#run-count").text == "2 of 6 runs"
    find(browser, "#filter").send_keys(" 0.5")
    assert column(browser, "Run") == ["bbb"]
    find(browser, "#filter").clear()
    find(browser, "#filter").send_keys("z")
    assert texts(browser, "#run-table tbody td") == ["No run matches; clear the filters."]
    find(browser, "#filter").send_keys(Keys.BACKSPACE)
    Select(find(browser, "#filter-status")).select_by_visible_text("failed")
    assert column(browser, "Run") == ["fff"]


def test_a_run_opens_from_the_table(browser: Chrome) -> None:
    find(browser, "#run-table a[href$='shapes/ccc']").click()
    until(browser, lambda: drawn(browser))
    assert "shapes/ccc" in find(browser, "#facts").text
    assert Select(find(browser, "#choose-estimator")).first_selected_option.text == "Adam"
    browser.back()
    assert find(browser, "#run-table").is_displayed()


@pytest.mark.parametrize(("row", "place"), [(0, 7), (1, 4), (4, 0)])
def test_a_tooltip_names_the_right_two_images(browser: Chrome, outputs: Path, row: int, place: int) -> None:
    matrix = InfluenceMatrix.load(outputs / "shapes" / "aaa")
    open_matrix(browser, "shapes/aaa")
    told = point_at(browser, row, place, matrix.gain.shape)
    assert told["probe"] == matrix.probes["id"][row]
    assert told["target"] == matrix.targets["id"][place]
    assert number(told["gain"]) == pytest.approx(matrix.gain[row, place], rel=0.01)
    assert number(told["before"]) == pytest.approx(matrix.before[place], rel=0.001)
    assert number(told["after"]) == pytest.approx(matrix.before[place] + matrix.gain[row, place], rel=0.001)
    images = browser.find_elements(By.CSS_SELECTOR, "#tooltip .sprite")
    assert [image.get_attribute("aria-label") for image in images] == [
        f"image of {told['probe']}",
        f"image of {told['target']}",
    ]
    left = run(browser, "return parseFloat(arguments[0].style.backgroundPosition)", images[1])
    width = run(browser, "return arguments[0].clientWidth", images[1])
    assert left == -place * width  # the sheet shows the targets in their order


def test_a_failed_probe_says_why(browser: Chrome, outputs: Path) -> None:
    open_matrix(browser, "shapes/aaa")
    point_at(browser, 3, 4, (5, 8))
    assert find(browser, "#tooltip .hint").text == "This probe failed: diverged"
    assert "diverged" in find(browser, "#probe-failures").text


def test_sentences_have_their_names_coloured(browser: Chrome, outputs: Path) -> None:
    matrix = next(InfluenceMatrix.load(outputs / "sentences" / "ddd").worlds())
    open_matrix(browser, "sentences/ddd")
    shape = matrix.gain.shape
    assert shape[0] != shape[1]
    told = point_at(browser, 1, 5, shape)
    assert (told["probe"], told["target"]) == (matrix.probes["id"][1], matrix.targets["id"][5])
    assert texts(browser, "#tooltip .text") == [matrix.probes["text"][1], matrix.targets["text"][5]]
    spans = [json.loads(table["spans"][line]) for table, line in ((matrix.probes, 1), (matrix.targets, 5))]
    names = [
        text[start:end]
        for text, found in zip([matrix.probes["text"][1], matrix.targets["text"][5]], spans, strict=True)
        for _, start, end in found
    ]
    marks = browser.find_elements(By.CSS_SELECTOR, "#tooltip mark")
    assert [mark.text for mark in marks] == names
    colour = {mark.text: mark.value_of_css_property("color") for mark in marks}
    assert len(set(colour.values())) == len(set(names)) > 1


def test_hostile_text_is_shown_and_never_run(browser: Chrome) -> None:
    open_matrix(browser, "sentences/ddd")
    choose(browser, "choose-world", "1")
    point_at(browser, 0, 11, (3, 12))
    assert texts(browser, "#tooltip .text")[1] == HOSTILE
    run(browser, "location.hash = '#failures'")
    assert HOSTILE in find(browser, "#failure-list .error").text
    assert run(browser, "return window.broken === undefined && !document.querySelector('img[src=x]')")


def pictured(browser: Chrome) -> Any:
    """The gains as the library was given them."""
    return np.array(run(browser, "return document.getElementById('heatmap').data[0].z.map((row) => Array.from(row))"))


def test_estimator_and_step_size_switch_the_picture(browser: Chrome, outputs: Path) -> None:
    open_matrix(browser, "shapes/aaa")
    image = "return document.querySelector('#heatmap .heatmaplayer image').href.baseVal"
    pictures = [run(browser, image)]
    for id, text, hash in (("choose-step", "lr 0.5", "bbb"), ("choose-estimator", "Adam", "ccc")):
        choose(browser, id, text)
        expected = InfluenceMatrix.load(outputs / "shapes" / hash).gain
        shown = np.array(pictured(browser), dtype=float)
        np.testing.assert_allclose(shown, expected, rtol=1e-6)
        assert hash in browser.current_url
        pictures.append(run(browser, image))
    assert len(set(pictures)) == 3


def test_rows_and_columns_are_ordered(browser: Chrome, outputs: Path) -> None:
    matrix = InfluenceMatrix.load(outputs / "shapes" / "aaa")
    open_matrix(browser, "shapes/aaa")
    choose(browser, "order-rows", "mean gain")
    rows = np.argsort(-np.nan_to_num(matrix.gain.mean(axis=1), nan=-np.inf), kind="stable")
    np.testing.assert_allclose(np.array(pictured(browser), dtype=float), matrix.gain[rows], rtol=1e-6)
    choose(browser, "order-columns", "label")
    columns = np.argsort(matrix.targets["label"], kind="stable")
    np.testing.assert_allclose(np.array(pictured(browser), dtype=float), matrix.gain[rows][:, columns], rtol=1e-6)
    told = point_at(browser, 0, 3, matrix.gain.shape)
    assert (told["probe"], told["target"]) == (matrix.probes["id"][rows[0]], matrix.targets["id"][columns[3]])
    choose(browser, "order-rows", "self-gain")
    rows = np.argsort(-np.nan_to_num(matrix.self_gain, nan=-np.inf), kind="stable")
    np.testing.assert_allclose(np.array(pictured(browser), dtype=float), matrix.gain[rows][:, columns], rtol=1e-6)


def test_arrow_keys_walk_through_the_cells(browser: Chrome, outputs: Path) -> None:
    matrix = InfluenceMatrix.load(outputs / "shapes" / "aaa")
    open_matrix(browser, "shapes/aaa")
    last = find(browser, "#colour-share")
    last.send_keys(Keys.TAB)  # into the matrix
    keys = ActionChains(browser)
    assert run(browser, "return document.activeElement.id") == "heatmap"
    for key, cell in (
        (None, (0, 0)),
        (Keys.ARROW_DOWN, (1, 0)),
        (Keys.ARROW_RIGHT, (1, 1)),
        (Keys.END, (1, 7)),
        (Keys.ARROW_RIGHT, (1, 7)),
        (Keys.PAGE_DOWN, (4, 7)),
        (Keys.ARROW_LEFT, (4, 6)),
    ):
        if key:
            keys.send_keys(key).perform()
        until(browser, find(browser, "#tooltip").is_displayed)
        told = tooltip(browser)
        assert (told["probe"], told["target"]) == (matrix.probes["id"][cell[0]], matrix.targets["id"][cell[1]])
    keys.send_keys(Keys.ESCAPE).perform()
    assert not find(browser, "#tooltip").is_displayed()


def test_light_and_dark_follow_the_system_and_the_switch(browser: Chrome) -> None:
    def page_colour() -> int:
        colour = find(browser, "body").value_of_css_property("background-color")
        return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])

    for system in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": system}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        assert (page_colour() > 600) == (system == "light")
    find(browser, "#theme").send_keys(Keys.ENTER)
    assert page_colour() > 600
    browser.refresh()
    assert page_colour() > 600
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


SORT = """
const done = arguments[1], box = document.getElementById("heatmap"), before = box.dataset.drawn;
const select = document.getElementById("order-rows"), start = performance.now();
new MutationObserver((_, observer) => {
  if (box.dataset.drawn === before) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000)));  // painted
}).observe(box, { attributes: true });
select.value = arguments[0];
select.dispatchEvent(new Event("change"));
"""

POINT = """
const done = arguments[2], tooltip = document.getElementById("tooltip");
const ground = document.querySelector("#heatmap .nsewdrag"), place = ground.getBoundingClientRect();
new MutationObserver((_, observer) => {
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000)));
}).observe(tooltip, { childList: true, subtree: true });
const start = performance.now();
const [x, y] = [place.left + arguments[0] * place.width, place.top + arguments[1] * place.height];
ground.dispatchEvent(new MouseEvent("mousemove", { clientX: x, clientY: y, bubbles: true }));
"""


def test_a_large_matrix_sorts_in_a_second_and_tells_a_cell_in_a_tenth(browser: Chrome) -> None:
    """The best of several, because a test shares its machine with others."""
    browser.set_script_timeout(60)
    open_matrix(browser, "large/eee")
    assert pictured(browser).shape == (LARGE, LARGE)
    orders = ["gain", "label", "self", "selected", "measured", "gain"]
    assert min(browser.execute_async_script(SORT, order) for order in orders) < SORT_SECONDS
    places = np.random.default_rng(0).uniform(0.1, 0.9, size=(12, 2))
    seconds = []
    for x, y in places:
        run(browser, "return new Promise((resolve) => setTimeout(resolve, 100))")  # the library lets a pointer rest
        seconds.append(browser.execute_async_script(POINT, x, y))
    assert min(seconds) < TOOLTIP_SECONDS
