// The explorer's browser half: reads the traits, draws by its other parts, writes the reader's choices back.
// Works with a kernel and without: nothing here waits for an answer.
const MOST_PROBABLE = ""; // the value of `klass` that follows the network's highest probability
const SIDE_BY_SIDE = "all"; // the entry of the list of methods that shows them all

const HTML = `
<p class="mdx-title" data-part="title"></p>
<div class="mdx-row">
  <div class="mdx-picture">
    <div class="mdx-stage" data-part="stage" tabindex="0" role="application" aria-label="Picture: arrow keys move a
      crosshair and read the map, plus and minus zoom, 0 shows the whole, Escape takes the crosshair away"></div>
    ${SLICES}
    <div class="mdx-look">
      <div class="mdx-legend" data-part="legend"><span>0</span><span class="mdx-ramp" data-part="ramp"></span>
        <span data-part="legendWords"></span></div>
      <label class="mdx-field"><span>Opacity</span><input type="range" min="0" max="1" step="0.05" data-part="opacity"
        aria-label="Opacity of the map"><span class="mdx-number" data-part="opacityNumber" aria-hidden="true"></span></label>
      <label class="mdx-field"><span>Hide below</span><input type="range" min="0" max="0.95" step="0.05"
        data-part="threshold" aria-label="Hide below this share of the map's maximum"><span class="mdx-number"
        data-part="thresholdNumber" aria-hidden="true"></span></label>
      <div class="mdx-field mdx-wrap"><span>Zoom</span>
        <button type="button" data-part="out" aria-label="Zoom out">−</button>
        <span class="mdx-times" data-part="times"></span>
        <button type="button" data-part="closer" aria-label="Zoom in">+</button>
        <button type="button" data-part="whole">Reset</button></div>
      <div class="mdx-field mdx-wrap mdx-ends">
        <label class="mdx-tick" data-part="contourField"><input type="checkbox" data-part="contour">
          <span data-part="contourWords"></span></label>
        <label class="mdx-tick" data-part="marksField"><input type="checkbox" data-part="marks">
          <span>Network's picks</span></label>
        <button type="button" data-part="save">Save as PNG</button></div>
    </div>
  </div>
  <div class="mdx-choose">
    <div class="mdx-pick">
      <div class="mdx-field"><label class="mdx-field"><span>Case</span><select data-part="case"></select></label>
        <button type="button" data-part="previous" aria-label="Previous case">‹</button>
        <button type="button" data-part="next" aria-label="Next case">›</button></div>
      <label class="mdx-field"><span>Method</span><select data-part="method"></select></label>
      <label class="mdx-tick" data-part="twinField"><input type="checkbox" data-part="twin">
        <span data-part="twinWords"></span></label>
    </div>
    <fieldset class="mdx-classes" data-part="classes"></fieldset>
    ${REPORT}
  </div>
</div>
<p class="mdx-status" data-part="status" role="status" aria-live="polite"></p>
<p class="mdx-notes" data-part="notes"></p>
<p class="mdx-hidden" data-part="reading" aria-live="polite"></p>`;

const truthWord = (truth) => (truth === null ? "unknown" : truth ? "present" : "absent");
// Why nothing is drawn of a map, as a sentence without its full stop; "" where it is drawn. Zeros and rounding are no
// signal; a map that is negative everywhere is one, of which eq. 7's ReLU leaves nothing.
function whyEmpty(maps, at) {
  if (!maps.signal[at]) return "this map carries no signal";
  return maps.peak[at] > 0 ? "" : "nothing speaks for this class here: all values are 0 or below";
}

// What the traits ask for, with every gap filled: the film or its twin `without` a finding, the class, the slice, and its
// map of each method shown, whose bytes are shares of `top`, the maximum over all slices. Class, slice, outline and order
// are those of the film, so that they stay when its twin is shown. A word of the report, kept or at which the reader
// glances, puts where the network looked in place of the method's map.
function chosen(model, glance = NO_WORD) {
  const cases = model.get("cases");
  const index = clamp(model.get("case"), 0, cases.length - 1);
  const film = cases[index];
  const without = Object.hasOwn(film.twins, model.get("twin")) ? model.get("twin") : "";
  const record = without ? film.twins[without] : film;
  const ranked = film.probability.map((_, k) => k).sort((a, b) => film.probability[b] - film.probability[a]);
  const wanted = film.classes.indexOf(model.get("klass"));
  const k = wanted >= 0 ? wanted : ranked[0];
  const klass = film.classes[k];
  const offered = [klass, ...ranked.map((i) => film.classes[i]), ...Object.keys(film.twins)]
    .find((name) => Object.hasOwn(film.twins, name));
  const methods = model.get("side_by_side") ? model.get("methods") : [model.get("method")];
  const slices = slicesOf(model, film, record, klass);
  const report = reportOf(model, record, glance);
  const pane = (method, maps, m) => {
    const at = slices.s * maps.count + m;
    const cells = maps.width * maps.height;
    const bytes = stored(bytesOf(model.get("data")), [maps.at + at * cells, cells]);
    const top = Math.max(...maps.peak.filter((_, i) => i % maps.count === m && maps.signal[i]));
    const most = `maximum ${number(maps.peak[at])}${slices.count > 1 ? `, of all slices ${number(top)}` : ""}`;
    const about = `map of ${method} for ${words(klass)}`;
    return { method, maps, m, bytes, empty: whyEmpty(maps, at), top, most, about };
  };
  const panes = methods.map((method, i) => {
    const look = report.looks[i];
    if (look) return { ...pane(look, report.attention[look], report.word), about: `${look} for ${wordWords(report)}` };
    const maps = record.maps[method];
    const shared = maps.count === 1;
    return { ...pane(method, maps, shared ? 0 : k), shared: shared && film.classes.length > 1 };
  });
  return { index, film, record, without, removable: without || offered || "", ranked, k, klass, automatic: wanted < 0,
    slices, report, panes };
}

// What the finding taken away does to the logit of the class shown.
function effect({ film, record, without, klass, k }) {
  if (!without) return "";
  const [gone, there] = [record.logits[k], film.logits[k]].map((logit) => logit.toFixed(2));
  const by = Math.abs(film.logits[k] - record.logits[k]).toFixed(2);
  const [finding, of] = [words(without), words(klass)];
  if (Number(by) === 0) return `${finding} in the picture leaves the logit of ${of} as it is (${there}).`;
  const does = film.logits[k] > record.logits[k] ? "raises" : "lowers";
  return `${finding} in the picture ${does} the logit of ${of} by ${by}, from ${gone} to ${there} ` +
    `(probability ${record.probability[k].toFixed(2)} to ${film.probability[k].toFixed(2)}).`;
}

const labels = (marks) => marks.map((mark) => mark.label).join(", ");

// The sentence under the picture, which screen readers speak when it changes.
function sentence(model, choice, seen) {
  const { index, film, record, without, k, klass, panes, slices, report } = choice;
  const looks = panes.slice(0, report.looks.length).map(sharpness);
  const methods = panes.map(({ method, shared, empty, most }) => {
    const whose = shared ? `${method} (one map for all classes)` : method;
    if (empty) return `${whose}: ${empty}, so nothing is drawn.`;
    return panes.length > 1 ? "" : `${whose}: ${most}.`;
  });
  const threshold = model.get("threshold");
  const name = film.name + (without && ` without ${words(without)}`);
  const which = `Case ${index + 1} of ${model.get("cases").length}, ${name}.`;
  const shown = looks.length ? [`Attention for ${wordWords(report)}.`, ...looks, which] : [which,
    slices.count > 1 ? `S${sliceWords(slices).slice(1)}.` : "",
    `${words(klass)}: probability ${record.probability[k].toFixed(2)}, truth ${truthWord(record.truth[k])}.`,
    effect(choice), panes.length > 1 ? `${panes.length} methods side by side.` : "", ...methods];
  return [...shown,
    threshold ? `Values below ${percent(threshold)} of a map's maximum are hidden.` : "",
    !model.get("contour") ? "" : !slices.outlines.length ? `No outline is known for ${words(klass)} here.` :
      `The white outline is the ${film.outline}.`,
    model.get("marks") && slices.marks.length ? `Picked by the network here: ${labels(slices.marks)}.` : "",
    seen.scale > 1 ? `Zoom ${seen.scale.toFixed(1)}.` : ""].filter(Boolean).join(" ");
}

// One choice of class: a native radio button, so arrows, Tab and screen readers need no help from us.
function classRow(group, value, name, numbers) {
  const label = element("label", { className: "mdx-class" }, element("input", { type: "radio", name: group, value }),
    element("span", { className: "mdx-name", textContent: words(name) }));
  if (numbers) {
    const hidden = (text) => element("span", { className: "mdx-hidden", textContent: text });
    const was = numbers.was === null ? "" : ` (${numbers.was.toFixed(2)} with the finding)`;
    label.style.setProperty("--share", `${100 * numbers.probability}%`);
    label.style.setProperty("--was", `${100 * numbers.was}%`);
    label.classList.toggle("mdx-moved", numbers.was !== null);
    label.append(hidden(" probability "), element("span", { textContent: numbers.probability.toFixed(2) }),
      hidden(`${was}, truth `), element("span", { className: `mdx-${numbers.truth}`, textContent: numbers.truth }));
  }
  return label;
}

function listClasses(parts, { index, film, record, without, ranked, automatic, klass }) {
  const list = `${index} ${without}`;
  if (parts.classes.dataset.list !== list) {
    parts.classes.dataset.list = list;
    const group = `${parts.root.id}-class`;
    parts.classes.replaceChildren(element("legend", { textContent: "Class, probability, truth" }),
      classRow(group, MOST_PROBABLE, `Most probable: ${film.classes[ranked[0]]}`),
      ...ranked.map((k) => classRow(group, film.classes[k], film.classes[k], {
        probability: record.probability[k], was: without ? film.probability[k] : null, truth: truthWord(record.truth[k]),
      })));
  }
  for (const input of parts.classes.querySelectorAll("input")) {
    input.checked = input.value === (automatic ? MOST_PROBABLE : klass);
    input.parentElement.classList.toggle("mdx-shown", input.value === klass);
  }
}

// A place for each method: the picture, its crosshair, why it may be empty, and two lines of caption.
function placeFilms(parts, panes) {
  while (parts.films.length > panes.length) parts.films.pop().root.remove();
  while (parts.films.length < panes.length) {
    const film = { canvas: element("canvas", { role: "img" }) };
    for (const name of ["cross", "badge", "silent", "method", "value"]) {
      film[name] = element("span", { className: `mdx-${name}`, hidden: name === "cross" });
    }
    film.root = element("div", { className: "mdx-film" },
      element("div", { className: "mdx-frame" }, film.canvas, film.cross, film.badge, film.silent), film.method, film.value);
    parts.films.push(film);
    parts.stage.append(film.root);
  }
}

// Put the state of the controls and all words in agreement with the traits.
function write(parts, model, choice, seen) {
  const { index, film, record, without, removable, panes, slices, report } = choice;
  const sideBySide = model.get("side_by_side");
  parts.case.value = index;
  parts.previous.disabled = index === 0;
  parts.next.disabled = index === model.get("cases").length - 1;
  parts.method.value = sideBySide ? SIDE_BY_SIDE : model.get("methods").indexOf(model.get("method"));
  parts.root.classList.toggle("mdx-many", sideBySide);
  parts.stage.style.setProperty("--columns", panes.length > 4 ? Math.ceil(panes.length / 2) : panes.length);
  for (const name of ["opacity", "threshold"]) {
    parts[name].value = model.get(name);
    parts[`${name}Number`].textContent = percent(model.get(name));
    parts[name].setAttribute("aria-valuetext", percent(model.get(name)));
  }
  parts.times.textContent = `${seen.scale.toFixed(1)}×`;
  parts.contour.checked = model.get("contour");
  parts.contourWords.textContent = `Outline: ${film.outline}`;
  parts.marks.checked = model.get("marks");
  parts.twin.checked = Boolean(without);
  parts.twin.disabled = !removable;
  parts.twinWords.textContent = removable ? `What if ${words(removable)} were not there?` : "No finding here to take away";
  listClasses(parts, choice);
  writeSlices(parts, choice);
  writeReport(parts, model, choice);
  parts.legendWords.textContent = slices.count > 1 ? "maximum over all slices" : "maximum of each map";
  parts.legend.classList.toggle("mdx-off", panes.every((pane) => pane.empty));
  placeFilms(parts, panes);
  const subject = [record.alt || record.name, sliceWords(slices)].filter(Boolean).join(", ");
  panes.forEach(({ method, empty, most, about }, i) => {
    const { canvas, badge, silent, method: name } = parts.films[i];
    const look = i < report.looks.length && report.label;
    badge.textContent = [without && `without ${words(without)}`, look].filter(Boolean).join(" · ");
    silent.textContent = empty && `${empty[0].toUpperCase()}${empty.slice(1)}.`;
    name.textContent = method;
    canvas.setAttribute("aria-label", `${subject}; ${about}, ${empty || most}`);
  });
  parts.notes.textContent = record.notes;
  say(parts.status, sentence(model, choice, seen));
}

// Write the value under the crosshair beside each map's maximum; `spoken` says it to screen readers as well.
function read(parts, { panes }, seen, spoken = false) {
  const inside = seen.at && [(seen.at[0] - seen.left) * seen.scale, (seen.at[1] - seen.top) * seen.scale];
  const said = panes.map((pane, i) => {
    const { cross, value } = parts.films[i];
    cross.hidden = !inside || inside.some((place) => place < 0 || place > 1);
    if (inside) [cross.style.left, cross.style.top] = inside.map((place) => `${100 * place}%`);
    const here = seen.at && !pane.empty ? valueAt(pane, seen.at) : null;
    value.textContent = pane.empty ? "nothing drawn" : here === null ? pane.most
      : `${number(here.value)} here, ${percent(here.share)} of ${number(pane.top)}`;
    return `${pane.method} ${here === null ? pane.empty : `${number(here.value)}, ${percent(here.share)} of its maximum`}`;
  });
  if (spoken && seen.at) {
    const [x, y] = seen.at.map(percent);
    parts.reading.textContent = `${x} from the left, ${y} from the top: ${said.join("; ")}.`;
  }
}

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

function save(parts, { film, klass, without, panes, report, slices: { s, count } }) {
  const captions = panes.map(({ method, empty, most, about }, i) =>
    [without && `Without ${words(without)}`, i < report.looks.length ? about : method,
      empty ? `nothing is drawn: ${empty}` : most].filter(Boolean).join(" · "));
  const sheet = poster(parts.films.map(({ canvas }) => canvas), captions, parts.status.textContent);
  const what = report.word === NO_WORD ? klass : `${report.of} ${report.label.replace(/[“”]/g, "")}`;
  const name = [film.name, count > 1 && `slice ${s + 1}`, what, without && `without ${without}`,
    panes.length > 1 ? "all methods" : panes[0].method];
  sheet.toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob) });
    link.download = `${name.filter(Boolean).join("-").replace(/[^\w.-]+/g, "_")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser may still be reading it
  });
}

function build(model) {
  const [title, cases, methods] = ["title", "cases", "methods"].map((name) => model.get(name));
  const parts = { films: [], ...placed(HTML, title, "Explorer of heat maps") };
  parts.case.append(...cases.map(({ name }, i) => new Option(`${i + 1}. ${name}`, i)));
  parts.method.append(...methods.map((name, i) => new Option(name, i)));
  if (methods.length > 1) parts.method.append(new Option(`All ${methods.length}, side by side`, SIDE_BY_SIDE));
  parts.mechanism.append(...model.get("mechanisms").map((name, i) => new Option(name, i)));
  parts.mechanismField.hidden = model.get("mechanisms").length < 2;
  parts.contourField.hidden = cases.every((film) => Object.keys(film.contours).length === 0);
  parts.marksField.hidden = cases.every((film) => film.marks.length === 0);
  parts.twinField.hidden = cases.every((film) => Object.keys(film.twins).length === 0);
  parts.ramp.style.backgroundImage = gradient(bytesOf(model.get("palette")));
  return parts;
}

function render({ model, el }) {
  const parts = build(model);
  const { picture, overlays } = layers(model);
  const seen = view();
  let turn = 0;
  let glance = NO_WORD; // the word under the mouse or the keyboard's focus
  const show = async (spoken) => {
    const mine = ++turn;
    const choice = chosen(model, glance);
    write(parts, model, choice, seen);
    const image = await picture(choice.record, choice.slices.s);
    if (mine !== turn) return; // a later choice is already being drawn
    const polylines = model.get("contour") ? choice.slices.outlines : [];
    const marks = model.get("marks") ? choice.slices.marks : [];
    const drawn = overlays(choice.panes, choice.record.image, model.get("threshold"));
    const how = { opacity: model.get("opacity"), polylines, marks, seen };
    parts.films.forEach(({ canvas }, i) => paint(canvas, image, drawn[i], how));
    read(parts, choice, seen, spoken === true);
    parts.root.dataset.drawn = turn;
  };
  const choose = choosing(model);
  const look = (word) => {
    if (word !== glance) show((glance = word));
  };
  const goTo = (index) => {
    seen.at = null; // another film is seen whole, and as it is
    seen.zoom(0);
    choose({ twin: "", slice: MOST_SUSPICIOUS, word: NO_WORD, case: index });
  };
  const zoom = (factor) => show(seen.zoom(factor));
  const on = (name, event, act) => parts[name].addEventListener(event, act);
  on("case", "change", () => goTo(Number(parts.case.value)));
  on("previous", "click", () => goTo(chosen(model).index - 1));
  on("next", "click", () => goTo(chosen(model).index + 1));
  on("method", "change", () => choose(parts.method.value === SIDE_BY_SIDE ? { side_by_side: true }
    : { side_by_side: false, method: model.get("methods")[parts.method.value], word: NO_WORD }));
  on("classes", "change", (event) => choose({ klass: event.target.value, word: NO_WORD }));
  on("twin", "change", () => choose({ twin: parts.twin.checked ? chosen(model).removable : "", word: NO_WORD }));
  on("mechanism", "change", () => choose({ mechanism: model.get("mechanisms")[parts.mechanism.value] }));
  follow(parts.lines, look, (word) => {
    choose({ word: word === model.get("word") ? NO_WORD : word });
    look(NO_WORD);
  });
  for (const name of ["contour", "marks"]) on(name, "change", () => choose({ [name]: parts[name].checked }));
  on("slice", "input", () => choose({ slice: Number(parts.slice.value) - 1 }));
  on("suspicious", "click", () => choose({ slice: MOST_SUSPICIOUS }));
  scrub(parts.strip, (s) => choose({ slice: s }));
  for (const name of ["opacity", "threshold"]) on(name, "input", () => choose({ [name]: Number(parts[name].value) }));
  on("out", "click", () => zoom(1 / 1.5));
  on("closer", "click", () => zoom(1.5));
  on("whole", "click", () => zoom(0));
  on("save", "click", () => save(parts, chosen(model, glance)));
  explore(parts.stage, seen, show, () => read(parts, chosen(model, glance), seen));
  const traits = ["case", "slice", "klass", "method", "side_by_side", "opacity", "threshold", "contour", "marks", "twin",
    "word", "mechanism"].map((name) => `change:${name}`);
  const redraw = () => show();
  for (const trait of traits) model.on(trait, redraw);
  const resized = new ResizeObserver(redraw);
  resized.observe(parts.stage);
  el.append(parts.root);
  show();
  return () => {
    resized.disconnect();
    for (const trait of traits) model.off(trait, redraw);
  };
}

export default { render };
