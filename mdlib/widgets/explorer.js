// The explorer's browser half: reads the traits, draws by its other parts, writes the reader's choices back.
// Works with a kernel and without: nothing here waits for an answer.
const MOST_PROBABLE = ""; // the value of `klass` that follows the network's highest probability
const SIDE_BY_SIDE = "all"; // the entry of the list of methods that shows them all

const LISTS = { word: "lines", instance: "crops" }; // the part with the buttons of each

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
          <span>Instances</span></label>
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
  ${INSTANCES}
</div>
<p class="mdx-status" data-part="status" role="status" aria-live="polite"></p>
<p class="mdx-notes" data-part="notes"></p>
<p class="mdx-hidden" data-part="reading" aria-live="polite"></p>`;

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
  writeCrops(parts, model, choice);
  parts.root.classList.toggle("mdx-reads", !parts.report.hidden || !parts.instances.hidden);
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
function read(parts, { panes, crops }, seen, spoken = false) {
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
    const box = cropAt(crops, seen.at);
    const inside = box === NONE ? "" : ` In the box of instance ${box + 1}.`;
    parts.reading.textContent = `${x} from the left, ${y} from the top: ${said.join("; ")}.${inside}`;
  }
}

function save(parts, { film, klass, without, panes, report, slices: { s, count } }) {
  const captions = panes.map(({ method, empty, most, about }, i) =>
    [without && `Without ${words(without)}`, i < report.looks.length ? about : method,
      empty ? `nothing is drawn: ${empty}` : most].filter(Boolean).join(" · "));
  const sheet = poster(parts.films.map(({ canvas }) => canvas), captions, parts.status.textContent);
  const what = report.word === NONE ? klass : `${report.of} ${report.label.replace(/[“”]/g, "")}`;
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
  const glance = { word: NONE, instance: NONE }; // what is under the mouse, the keyboard's focus or the crosshair
  const show = async (spoken) => {
    const mine = ++turn;
    const choice = chosen(model, glance);
    write(parts, model, choice, seen);
    const [image] = await Promise.all([picture(choice.record, choice.slices.s), parts.cropped]);
    if (mine !== turn) return; // a later choice is already being drawn
    const polylines = model.get("contour") ? choice.slices.outlines : [];
    const marks = model.get("marks") ? choice.slices.marks : [];
    const drawn = overlays(choice.panes, choice.record.image, model.get("threshold"));
    const how = { opacity: model.get("opacity"), polylines, marks, lit: choice.crops.lit, seen };
    parts.films.forEach(({ canvas }, i) => paint(canvas, image, drawn[i], how));
    read(parts, choice, seen, spoken === true);
    parts.root.dataset.drawn = turn;
  };
  const choose = choosing(model);
  const look = (what, index) => {
    if (index !== glance[what]) show((glance[what] = index));
  };
  const listen = (what, next) => follow(parts[LISTS[what]], next, (index) => look(what, index), (index) => {
    choose({ [what]: index === model.get(what) ? NONE : index });
    look(what, NONE);
  });
  const pointed = () => { // whether the crosshair has come to another instance
    const before = glance.instance;
    const shown = model.get("marks") && seen.at;
    glance.instance = shown ? cropAt(chosen(model).crops, seen.at) : focusedIn(parts.crops);
    return glance.instance !== before;
  };
  const goTo = (index) => {
    seen.at = null; // another film is seen whole, and as it is
    seen.zoom(0);
    glance.instance = NONE;
    choose({ twin: "", slice: MOST_SUSPICIOUS, word: NONE, instance: NONE, case: index });
  };
  const zoom = (factor) => show(seen.zoom(factor));
  const on = (name, event, act) => parts[name].addEventListener(event, act);
  on("case", "change", () => goTo(Number(parts.case.value)));
  on("previous", "click", () => goTo(chosen(model).index - 1));
  on("next", "click", () => goTo(chosen(model).index + 1));
  on("method", "change", () => choose(parts.method.value === SIDE_BY_SIDE ? { side_by_side: true }
    : { side_by_side: false, method: model.get("methods")[parts.method.value], word: NONE }));
  on("classes", "change", (event) => choose({ klass: event.target.value, word: NONE }));
  on("twin", "change", () => {
    glance.instance = NONE; // it has others
    choose({ twin: parts.twin.checked ? chosen(model).removable : "", word: NONE, instance: NONE });
  });
  on("mechanism", "change", () => choose({ mechanism: model.get("mechanisms")[parts.mechanism.value] }));
  listen("word", neighbour);
  listen("instance", beside);
  for (const name of ["contour", "marks"]) on(name, "change", () => choose({ [name]: parts[name].checked }));
  on("slice", "input", () => choose({ slice: Number(parts.slice.value) - 1 }));
  on("suspicious", "click", () => choose({ slice: MOST_SUSPICIOUS }));
  scrub(parts.strip, (s) => choose({ slice: s }));
  for (const name of ["opacity", "threshold"]) on(name, "input", () => choose({ [name]: Number(parts[name].value) }));
  on("out", "click", () => zoom(1 / 1.5));
  on("closer", "click", () => zoom(1.5));
  on("whole", "click", () => zoom(0));
  on("save", "click", () => save(parts, chosen(model, glance)));
  explore(parts.stage, seen, (spoken) => {
    pointed();
    show(spoken);
  }, () => (pointed() ? show() : read(parts, chosen(model, glance), seen)));
  const traits = ["case", "slice", "klass", "method", "side_by_side", "opacity", "threshold", "contour", "marks", "twin",
    "word", "mechanism", "instance"].map((name) => `change:${name}`);
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
