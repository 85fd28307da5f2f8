"""Debian's Chromium without a window: `python -m tests.chromium` takes the README's picture of the report with it."""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from experiments.published import PUBLISHED
from experiments.report.site import write_site

PICTURE = PUBLISHED / "figures" / "report.png"


def headless(width: int = 1280, height: int = 900) -> Chrome:
    """The browser by its own driver, both at known paths, so that nothing is downloaded.

    Raises:
        FileNotFoundError: one of the two is not installed.
    """
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        raise FileNotFoundError("expected chromium and chromedriver, got less; install chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    # As root, and in a container, it has neither a sandbox nor much shared memory.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options=options, service=ChromeService(executable_path=driver))


def picture(browser: Chrome, page: str) -> bytes:
    """A matrix of images of the published runs, a cell of it told, as a PNG with a palette."""
    browser.get(f"{page}#explorer/fig1_claims")
    WebDriverWait(browser, 60).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#heatmap[data-drawn] .nsewdrag"))
    ground = browser.find_element(By.CSS_SELECTOR, "#heatmap .nsewdrag")
    browser.execute_script("scrollTo(0, 0)")
    ActionChains(browser).move_to_element_with_offset(ground, -40, -150).perform()
    WebDriverWait(browser, 60).until(lambda _: browser.find_element(By.ID, "tooltip").is_displayed())
    stream = io.BytesIO()
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as taken:
        taken.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    browser = headless(1280, 1080)
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_bytes(picture(browser, write_site([PUBLISHED], Path(folder)).as_uri()))
    browser.quit()
    print(PICTURE)
