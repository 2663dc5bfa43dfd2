"""A widget on a page in the browser: act as a reader does, then look at what is drawn and said."""

import re
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from browser import CHECKSUM, Visit
from playwright.sync_api import Locator

# The least contrast between text and its ground over everything readable in an element, as WCAG 2 defines it.
CONTRAST = """root => {
  const background = getComputedStyle(root).backgroundColor;
  const channels = (colour) => { // over the background: a colour may be half transparent
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    for (context.fillStyle of [background, colour]) context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => channels(colour).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = luminance(background);
  const texts = [...root.querySelectorAll("*")].filter((node) => node.checkVisibility() && !node.disabled &&
    !node.closest(".mdx-silent, .mdx-badge, .mdx-hidden") &&
    [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
  return Math.min(...texts.map((node) => luminance(getComputedStyle(node).color))
    .map((text) => (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)));
}"""


class WidgetPage:
    """What the explorer and the search have in common."""

    def __init__(self, visit: Visit, nth: int = 0):
        self.page, self.visit = visit.page, visit
        self.page.wait_for_selector(".mdx[data-drawn]")
        self.root = self.page.locator(".mdx").nth(nth)
        self.root.scroll_into_view_if_needed()

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def drawn(self) -> int:
        return int(self.root.get_attribute("data-drawn"))

    def after(self, act: Callable[[], None]) -> tuple:
        """What is seen and said once `act` has led to a new drawing."""
        before = self.drawn()
        act()
        self.page.wait_for_function(
            "([root, before]) => Number(root.dataset.drawn) > before", arg=[self.root.element_handle(), before]
        )
        return self.seen()

    def status(self) -> str:
        return self.root.get_by_role("status").inner_text()

    def contrast(self) -> float:
        return self.root.evaluate(CONTRAST)

    def violations(self) -> str:
        """What axe-core finds wrong within the widget, with the places; "" where nothing is."""
        found = Axe().run(self.page, context=f"#{self.root.get_attribute('id')}")
        return found.generate_report() if found.violations_count else ""

    def press_until_focused(self, selector: str, limit: int = 12) -> None:
        """Press Tab until an element of the widget has the focus, as a reader without a mouse."""
        for _ in range(limit):
            self.page.keyboard.press("Tab")
            if self.root.locator(f"{selector}:focus").count():
                return
        raise AssertionError(f"{selector} is not reached in {limit} presses of Tab")


class SearchPage(WidgetPage):
    def __init__(self, visit: Visit, nth: int = 0):
        super().__init__(visit, nth)
        self.text = self.root.get_by_role("combobox")
        self.options = self.root.get_by_role("option")  # those that are seen
        self.found = self.root.get_by_role("listitem")

    def seen(self) -> tuple[list[str], str]:
        """The words of each picture found, and the sentence above them."""
        return [" ".join(text.split()) for text in self.found.all_inner_texts()], self.status()


class ExplorerPage(WidgetPage):
    def __init__(self, visit: Visit, nth: int = 0):
        super().__init__(visit, nth)
        self.opacity = self.root.get_by_label("Opacity of the map")
        self.threshold = self.root.get_by_label("Hide below")
        self.contour = self.root.get_by_label("Outline:")
        self.marks = self.root.get_by_role("checkbox", name="Instances", exact=True)
        self.twin = self.root.get_by_label("What if")
        self.slice = self.root.get_by_role("slider", name="Slice")
        self.strip = self.root.locator(".mdx-strip")
        self.case = self.root.get_by_role("combobox", name="Case")
        self.method = self.root.get_by_role("combobox", name="Method")
        self.classes = self.root.get_by_role("radio")
        self.stage = self.root.locator(".mdx-stage")
        self.films = self.root.locator("canvas")
        self.values = self.root.locator(".mdx-value")
        self.lines = self.root.get_by_role("toolbar")
        self.mechanism = self.root.get_by_role("combobox", name="Attention")
        self.crops = self.root.get_by_role("button", name="Instance ")
        self.gates = self.root.get_by_role("img", name="Gates")

    def klass(self, name: str) -> Locator:
        return self.root.get_by_role("radio", name=f"{name} probability")

    def word(self, text: str, nth: int = 0) -> Locator:
        """A word of the report, or the name of a part, for its whole sentence; `nth` of those that read alike."""
        return self.lines.locator(".mdx-word").filter(has_text=re.compile(f"^{text}$")).nth(nth)

    def choose(self, control: Locator, index: int) -> tuple[int, str]:
        """What is seen once the entry of a list (case or method) is chosen; it may be chosen already."""
        chosen = control.input_value() == str(index)
        return self.seen() if chosen else self.after(lambda: control.select_option(index=index))

    def seen(self) -> tuple[int, str]:
        """The checksum of the canvas and the spoken sentence."""
        return self.films.first.evaluate(CHECKSUM), self.status()
