"""A real browser opens every page of the guide: wide and narrow, light and dark."""

import functools
import http.server
import json
import threading

import guide_pages
import pytest
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow
WIDTHS = {"desktop": 1280, "phone": 390}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def address(site):
    """The built site on a free port of this machine."""
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def show(browser, address: str, width: int, scheme: str) -> None:
    """Open a page as somebody sees it whose screen is so wide and whose system is light or dark."""
    preference = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [preference]})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)  # what was said before is not this page's
    browser.get(address)
    WebDriverWait(browser, 30).until(lambda page: page.execute_script("return document.readyState") == "complete")


def network(browser) -> list[tuple[str, dict]]:
    """What the page asked for, and what became of it."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [(message["method"], message["params"]) for message in messages if message["method"].startswith("Network.")]


# Of each diagram of the page that is not hidden: the color scheme that it is drawn for, the size that it has, the width
# that it may have, and the height of its smallest line of text, in pixels.
DIAGRAMS = """
const height = one => one.getBoundingClientRect().height;
return [...document.querySelectorAll('article .d2-light, article .d2-dark')].filter(one => one.getClientRects().length)
  .map(one => ({variant: one.className, picture: one.querySelector('svg'), room: one.parentElement.clientWidth}))
  .map(({variant, picture, room}) => ({
    variant, room, width: picture.getBoundingClientRect().width, height: height(picture),
    text: Math.min(...[...picture.querySelectorAll('tspan, text:not(:has(tspan))')].map(height))}))
"""
SCHEME = "return document.body.dataset.mdColorScheme"
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", WIDTHS)
def test_every_page(browser, address, screen, scheme):
    for name in guide_pages.names():
        page = address + guide_pages.address(name)
        show(browser, page, WIDTHS[screen], scheme)
        assert browser.execute_script(SCHEME) == {"light": "default", "dark": "slate"}[scheme]
        assert not browser.get_log("browser"), page
        asked = network(browser)
        urls = [params["request"]["url"] for method, params in asked if method == "Network.requestWillBeSent"]
        assert page in urls
        assert not [url for url in urls if not url.startswith((address, "data:", "blob:"))], page
        statuses = [params["response"] for method, params in asked if method == "Network.responseReceived"]
        assert not [answer["url"] for answer in statuses if answer["status"] >= 400], page
        assert not [params for method, params in asked if method == "Network.loadingFailed"], page
        assert browser.execute_script(OVERFLOW) <= 0, f"{page} is wider than the {screen}"
        diagrams = browser.execute_script(DIAGRAMS)
        assert [one["variant"] for one in diagrams] == [f"d2-{scheme}"] * len(guide_pages.diagrams(name)), page
        assert all(min(one["width"], one["height"]) > 100 for one in diagrams), page


def test_a_diagram_can_be_read_on_500_pixels(browser, address):
    for name in filter(guide_pages.diagrams, guide_pages.names()):
        show(browser, address + guide_pages.address(name), 500, "light")
        for one in browser.execute_script(DIAGRAMS):
            assert one["width"] <= one["room"] and one["text"] >= 12, f"{name}: {one}"


def test_the_search_finds_a_page(browser, address):
    show(browser, address, WIDTHS["desktop"], "light")
    box = browser.find_element("css selector", "input.md-search__input")
    browser.execute_script("arguments[0].focus()", box)
    box.send_keys("hyperband")
    found = "return [...document.querySelectorAll('.md-search-result__link')].map(link => link.href)"
    links = WebDriverWait(browser, 30).until(lambda page: page.execute_script(found))
    assert any(link.startswith(f"{address}training/") for link in links), links
    assert not browser.get_log("browser")


def test_the_reader_changes_the_colors(browser, address):
    show(browser, f"{address}components/", WIDTHS["desktop"], "light")
    seen = set()
    for _ in range(3):
        label = browser.find_element("css selector", "form[data-md-component=palette] label:not([hidden])")
        browser.execute_script("arguments[0].click()", label)
        scheme = browser.execute_script(SCHEME)
        shown = {one["variant"] for one in browser.execute_script(DIAGRAMS)}
        assert shown == {{"default": "d2-light", "slate": "d2-dark"}[scheme]}
        seen.add(scheme)
    assert seen == {"default", "slate"}
