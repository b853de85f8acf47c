"""Headless Chromium on the status page: what it shows, what it complains of, what it looks like."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools import require_module, require_tool

__all__ = ["Browser", "browser"]

SHOTS = os.environ.get("DACYCLE_SCREENSHOTS")
PATIENCE = 30.0


class Browser:
    """A window with a page in it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Go there and wait until everything has been drawn."""
        self.driver.get(url)
        self.until(lambda: self.data("ready") or self.script("return 'empty' in main.dataset"))

    def script(self, text: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(text, *arguments)

    def data(self, name: str) -> str:
        """What the page says of itself."""
        return str(self.script(f"return document.getElementById('main').dataset.{name} || ''"))

    def text(self, selector: str) -> str:
        """The text of the first such element."""
        return str(self.script("return document.querySelector(arguments[0])?.innerText || ''", selector))

    def click(self, selector: str) -> None:
        """On the first such element, with the mouse."""
        element = self.driver.find_element("css selector", selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose(self, selector: str, value: str) -> None:
        """In a list, as a person would."""
        told = (
            "const e = document.querySelector(arguments[0]);"
            "e.value = arguments[1]; e.dispatchEvent(new Event('change'))"
        )
        self.script(told, selector, value)

    def until(self, is_so: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait for it; AssertionError with what the page shows when it does not come."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if found := is_so():
                return found
            time.sleep(0.05)
        raise AssertionError(f"it did not come within {seconds} s; the page says: {self.text('body')[:2000]}")

    def size(self, width: int, height: int) -> None:
        """As that of a telephone or a desk."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """The system's light or dark."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def shoot(self, name: str, width: int = 1280) -> None:
        """A picture of the whole page, where DACYCLE_SCREENSHOTS names a folder."""
        if not SHOTS:
            return
        self.size(width, int(self.script("return document.documentElement.scrollHeight")))
        time.sleep(0.4)
        folder = Path(SHOTS)
        folder.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(folder / f"{name}.png"))
        self.size(width, 900)

    def complaints(self) -> list[str]:
        """What the console holds since the last call: errors, refused styles, failed requests."""
        told = [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        return [
            entry["message"] for entry in told if "willReadFrequently" not in entry["message"]
        ]  # the test's reading

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical."""
        axe = require_module("axe_core_python.selenium").Axe()
        found = axe.run(self.driver)["violations"]
        return [
            f"{v['id']}: {v['help']}: {[node['html'][:120] for node in v['nodes'][:3]]}"
            for v in found
            if v["impact"] in ("serious", "critical")
        ]


@contextmanager
def browser() -> Iterator[Browser]:
    """A window of its own, gone with its processes afterwards."""
    webdriver = require_module("selenium.webdriver")
    service = require_module("selenium.webdriver.chrome.service")
    options = webdriver.ChromeOptions()
    options.binary_location = require_tool("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=service.Service(require_tool("chromedriver")))
    try:
        window = Browser(driver)
        window.size(1280, 900)
        yield window
    finally:
        driver.quit()
