"""A real browser for tests: Chromium as found on the machine, driven by Playwright, and a log of all it asked for."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
OWN = ("http://127.0.0.1:", "http://localhost:", "ws://127.0.0.1:", "ws://localhost:", "file://", "data:", "blob:")

# The pixels of a canvas as one number: a checksum over every channel.
CHECKSUM = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value) => (Math.imul(sum, 31) + value) >>> 0, 0);
}"""


@dataclass
class Visit:
    """A page and what the browser did for it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # requests that failed or were answered 400 and above
    errors: list[str] = field(default_factory=list)  # of the console, and exceptions that nobody caught
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each answer's body

    @property
    def external(self) -> list[str]:
        """Requests to other hosts."""
        return [url for url in self.requests if not url.startswith(OWN)]

    @property
    def faults(self) -> list[str]:
        """All that should not have happened."""
        return [f"asked another host: {url}" for url in self.external] + self.failures + self.errors

    def pixels(self, selector: str = "canvas") -> int:
        return self.page.eval_on_selector(selector, CHECKSUM)


def find_chromium() -> str | None:
    """The path of Chromium or Chrome: MDLIB_CHROMIUM, else the first found in PATH; None where there is none."""
    return os.environ.get("MDLIB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launch(path: str) -> Iterator[Browser]:
    """The browser, without a window. One serves all tests of a session."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str | None = None, **options) -> Iterator[Visit]:
    """A fresh page (no cookies, nothing cached) at `url`; options as Playwright's `new_context`."""
    context = browser.new_context(**options)
    try:
        context.set_default_timeout(15_000)  # milliseconds
        visit = Visit(context.new_page())
        _listen(visit)
        if url:
            visit.page.goto(url)
        yield visit
    finally:
        context.close()


def _listen(visit: Visit) -> None:
    page = visit.page
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("requestfailed", lambda request: visit.failures.append(f"{request.failure}: {request.url}"))
    page.on("response", lambda answer: visit.failures.append(f"{answer.status}: {answer.url}")
            if answer.status >= 400 else None)  # fmt: skip
    page.on("requestfinished", lambda request: visit.sizes.update({request.url: request.sizes()["responseBodySize"]}))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visit.errors.append(f"uncaught: {error}"))


class _Silent(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/favicon.ico":     # asked for by the browser itself where a page, such as a redirect, has none
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address under which `folder` is served, on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
