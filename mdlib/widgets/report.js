// The report of a case: its words, each of which shows where the network looked for it. A case without a report shows
// none of this. Part of the explorer's module, see explorer.py.
const REPORT = `
<div class="mdx-report" data-part="report">
  <label class="mdx-field" data-part="mechanismField"><span>Attention</span><select data-part="mechanism"></select>
    </label>
  <div class="mdx-lines" data-part="lines" role="toolbar" aria-label="Report: arrow keys go from word to word and show
    where the network looked, Enter keeps it in view, Escape lets it go"></div>
</div>`;

// The word shown, at which the reader glances or which is kept, and the maps it has; `word` is NONE where none is.
function reportOf(model, record, glance) {
  const { parts, attention } = record.report;
  const said = parts.flatMap(({ name, words: of }) => of.map((word) => ({ label: `“${word}”`, of: name })));
  said.push(...parts.map(({ name }) => ({ label: "the whole sentence", of: name })));
  const wanted = glance === NONE ? model.get("word") : glance;
  const word = wanted < said.length ? wanted : NONE;
  const all = model.get("mechanisms");
  const together = model.get("side_by_side") && all.length <= model.get("methods").length;
  const looks = word === NONE ? [] : together ? all : [model.get("mechanism")];
  return { parts, attention, word, together, ...said[word], looks };
}

// "“crowded” of nuclear crowding"
const wordWords = ({ label, of }) => `${label} of ${of}`;

// How sharp a look is: its entropy beside that of an even one, and the share of its largest place.
function sharpness({ method, maps, m, empty }) {
  if (empty) return `${method}: ${empty}, so nothing is drawn.`;
  const bits = Math.log2(maps.width * maps.height).toFixed(2);
  return `${method}: entropy ${maps.entropy[m].toFixed(2)} of ${bits} bits, and the largest of ${maps.height} × ` +
    `${maps.width} places holds ${number(100 * maps.peak[m])} %.`;
}

function wordButton(index, text, label) {
  const button = element("button", { type: "button", className: "mdx-word", textContent: text, tabIndex: -1 });
  button.dataset.index = index;
  if (label) button.setAttribute("aria-label", label);
  return button;
}

// A part: its name, whether it is true, its words, and what a person wrote.
function line({ name, words: of, correct, reference }, first, whole) {
  const row = element("div", { className: "mdx-line" },
    element("div", { className: "mdx-part" }, wordButton(whole, name, `${name}, whole sentence`)),
    element("div", { className: "mdx-said" }, ...of.map((word, i) => wordButton(first + i, word))));
  if (correct !== null) {
    const sign = { className: correct ? "mdx-right" : "mdx-wrong", textContent: correct ? "✓ true" : "✗ not true" };
    row.firstChild.append(element("span", sign));
  }
  if (!of.length) row.lastChild.append(element("span", { className: "mdx-reference", textContent: "(no words)" }));
  if (reference) row.append(element("div", { className: "mdx-reference", textContent: `Reference: ${reference}` }));
  return row;
}

// Put words and list in agreement with the choice.
function writeReport(parts, model, { index, without, report }) {
  parts.report.hidden = !report.parts.length;
  parts.mechanism.value = model.get("mechanisms").indexOf(model.get("mechanism"));
  parts.mechanism.disabled = report.together;
  const list = `${index} ${without}`;
  if (parts.lines.dataset.list !== list) {
    parts.lines.dataset.list = list;
    let [first, whole] = [0, report.parts.reduce((sum, part) => sum + part.words.length, 0)];
    parts.lines.replaceChildren(...report.parts.map((part) => {
      const row = line(part, first, whole++);
      first += part.words.length;
      return row;
    }));
    const [button] = parts.lines.querySelectorAll("button");
    if (button) button.tabIndex = 0;
  }
  for (const button of parts.lines.querySelectorAll("button")) {
    const at = Number(button.dataset.index);
    button.setAttribute("aria-pressed", at === model.get("word"));
    button.classList.toggle("mdx-now", at === report.word);
  }
}

// Where a key leads from a word: along the report, or to the same place of the part above or below.
function neighbour(lines, button, key) {
  const buttons = [...lines.querySelectorAll("button")];
  const at = buttons.indexOf(button);
  const row = button.closest(".mdx-line");
  const own = [...row.querySelectorAll("button")];
  const other = { ArrowUp: row.previousSibling, ArrowDown: row.nextSibling }[key];
  const others = [...(other?.querySelectorAll("button") ?? [])];
  return { ArrowLeft: buttons[at - 1], ArrowRight: buttons[at + 1], Home: own[0], End: own.at(-1) }[key] ??
    others[Math.min(own.indexOf(button), others.length - 1)];
}
