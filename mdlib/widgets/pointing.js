// Mouse, finger and keyboard over the picture, and over lists of buttons of which each shows something in it. Part of the
// explorer's module, see explorer.py.
const NONE = -1; // the index of no word, and of no instance

const indexOf = (button) => (button ? Number(button.dataset.index) : NONE);
const focusedIn = (list) => indexOf(list.querySelector(":focus-visible"));

// Crosshair, zoom and pan by mouse, finger and keyboard. `moved` draws again; `pointed` only reads.
function explore(stage, seen, moved, pointed) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
  let held = null; // where the dragged picture was taken hold of
  const place = (event) => {
    const box = event.target.closest?.(".mdx-frame")?.getBoundingClientRect();
    return box && [seen.left + (event.clientX - box.left) / box.width / seen.scale,
      seen.top + (event.clientY - box.top) / box.height / seen.scale].map((at) => clamp(at, 0, 1));
  };
  stage.addEventListener("pointerdown", (event) => {
    seen.at = place(event) ?? null;
    held = seen.scale > 1 ? seen.at : null;
    if (held) event.target.setPointerCapture(event.pointerId);
    pointed();
  });
  stage.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (held && at) {
      seen.centre(seen.x + held[0] - at[0], seen.y + held[1] - at[1]);
      return moved();
    }
    seen.at = at ?? null;
    pointed();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (held = null));
  stage.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !held) pointed((seen.at = null));
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return; // the page scrolls
    event.preventDefault();
    seen.zoom(Math.exp(-clamp(event.deltaY, -100, 100) / 250), place(event));
    moved();
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in arrows) {
      const step = 1 / 32 / seen.scale;
      seen.at = (seen.at ?? [seen.x, seen.y]).map((at, i) => clamp(at + arrows[event.key][i] * step, 0, 1));
      seen.reveal(seen.at);
    } else if (event.key in zooms) seen.zoom(zooms[event.key]);
    else if (event.key === "Escape") seen.at = null;
    else return;
    event.preventDefault();
    moved(event.key in arrows);
  });
}

// A list of buttons, each with its index, as one stop of the keyboard: `next` is where a key leads from one, `glance` shows
// one for the moment, `keep` until it is let go.
function follow(list, next, glance, keep) {
  const buttonOf = (node) => node.closest("[data-index]");
  list.addEventListener("pointerover", (event) => {
    if (buttonOf(event.target) && event.pointerType !== "touch") glance(indexOf(buttonOf(event.target)));
  });
  list.addEventListener("pointerleave", () => glance(focusedIn(list)));
  list.addEventListener("focusin", (event) => {
    for (const button of list.querySelectorAll("button")) button.tabIndex = button === event.target ? 0 : -1;
    if (event.target.matches(":focus-visible")) glance(indexOf(event.target));
  });
  list.addEventListener("focusout", (event) => {
    if (!list.contains(event.relatedTarget)) glance(NONE);
  });
  list.addEventListener("click", (event) => {
    if (buttonOf(event.target)) keep(indexOf(buttonOf(event.target)));
  });
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") keep(NONE);
    else if (!/^Arrow|^Home$|^End$/.test(event.key)) return;
    else next(list, event.target, event.key)?.focus();
    event.preventDefault();
  });
}
