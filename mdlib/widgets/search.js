// The search's browser half: a description typed or chosen, and the pictures found for it. Prepared descriptions need
// nobody; any other is answered by Python where it is there, else by the prepared one that shares most words with it.
const HTML = `
<p class="mdx-title" data-part="title"></p>
<form class="mdx-ask" data-part="form" role="search">
  <label data-part="label">Describe what should be seen</label>
  <div class="mdx-combo"><input type="text" data-part="text" role="combobox" aria-autocomplete="list"
      aria-expanded="false" autocomplete="off" spellcheck="false">
    <button type="button" data-part="open" tabindex="-1" aria-label="Prepared descriptions">▾</button>
    <ul data-part="list" role="listbox" aria-label="Prepared descriptions" hidden></ul></div>
  <button type="submit">Search</button>
</form>
<p class="mdx-status mdx-asked" data-part="status" role="status" aria-live="polite"></p>
<ol class="mdx-found" data-part="found"></ol>`;

const plain = (text) => text.toLowerCase().split(/\s+/).filter(Boolean).join(" ");
const wordsIn = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu));
const shared = (one, other) => [...wordsIn(one)].filter((word) => wordsIn(other).has(word)).length;

// The prepared description that shares most words; of several, the one with fewest others.
function nearest(queries, text) {
  const near = (query) => shared(text, query.text) - wordsIn(query.text).size / 1000;
  const best = queries.reduce((found, query) => (near(query) > near(found) ? query : found));
  return shared(text, best.text) ? best : null;
}

// What the traits ask for: words to say, and what is to be shown; `found` is null while Python is at work.
function chosen(model) {
  const [asked, queries, answer] = ["query", "queries", "answer"].map((name) => model.get(name));
  const prepared = queries.find((query) => plain(query.text) === plain(asked));
  const nothing = { ranking: [], scores: [] };
  if (prepared) return { said: "", found: prepared };
  if (model.get("live") && !model.alone) {
    if (answer.query !== asked) return { said: `Looking for “${asked}” …`, found: null };
    if (answer.error) return { said: `No answer. ${answer.error}`, found: nothing };
    return { said: "", found: { text: asked, ...answer } };
  }
  const near = nearest(queries, asked);
  const only = `${model.alone ? "In the book, only" : "Only"} prepared descriptions are answered`;
  if (!near) return { said: `${only}; none of them shares a word with “${asked}”.`, found: nothing };
  const common = `it shares ${shared(asked, near.text)} of ${wordsIn(asked).size} words with “${asked}”`;
  return { said: `${only}; the nearest of them is shown: ${common}.`, found: near };
}

// The sentence above the pictures.
function sentence({ said, found }) {
  if (!found?.ranking.length) return said;
  const rates = Object.entries(found.right ?? {}).map(([k, share]) => `Cr@${k} ${share.toFixed(2)}`);
  return [said, `${found.ranking.length} pictures for “${found.text}”, best first.`,
    found.wanted ? `Wanted: ${words(found.wanted)}.` : "No conclusion is known to be wanted.",
    rates.length ? `${rates.join(", ")}: the share of the first pictures with it.` : ""].filter(Boolean).join(" ");
}

async function card(model, place, rank, score, wanted) {
  const { name, label, at, type } = model.get("pictures")[place];
  const image = Object.assign(await decoded(model, at, type), { alt: `Picture ${name}` });
  const right = label === wanted;
  const line = (className, textContent) => element("span", { className, textContent });
  return element("li", {}, image, line("mdx-name", `${rank}. ${name}`), line("", words(label)),
    ...(wanted ? [line(right ? "mdx-right" : "mdx-wrong", right ? "✓ as wanted" : "✗ not as wanted")] : []),
    line("mdx-reference", `score ${String(Number(score.toPrecision(3))).replace("-", "−")}`));
}

// The list of prepared descriptions under the field, ARIA's editable combobox: arrows go through it, Enter takes one.
function combobox(parts, queries, take) {
  const { text, list, open } = parts;
  list.id = `${parts.root.id}-list`;
  text.id = `${parts.root.id}-text`;
  parts.label.htmlFor = text.id;
  text.setAttribute("aria-controls", list.id);
  const options = queries.map(({ text: textContent }, i) =>
    element("li", { id: `${list.id}-${i}`, role: "option", textContent }));
  list.append(...options);
  let active = -1;
  const shown = () => options.filter((option) => !option.hidden);
  const point = (option) => {
    active = options.indexOf(option);
    for (const other of options) other.setAttribute("aria-selected", other === option);
    if (option) text.setAttribute("aria-activedescendant", option.id);
    else text.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  };
  const unfold = (wanted, typed = "") => {
    const starts = [...wordsIn(typed)];
    for (const option of options) {
      const has = [...wordsIn(option.textContent)];
      option.hidden = !starts.every((start) => has.some((word) => word.startsWith(start)));
    }
    list.hidden = !wanted || !shown().length;
    text.setAttribute("aria-expanded", !list.hidden);
    point(null);
  };
  text.addEventListener("input", () => unfold(text.value.trim() !== "", text.value));
  text.addEventListener("blur", () => unfold(false));
  text.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (list.hidden) unfold(true);
      const offered = shown();
      const next = offered.indexOf(options[active]) + step;
      point(offered.at(active < 0 && step < 0 ? -1 : next % offered.length));
    } else if (event.key === "Enter" && active >= 0) take(queries[active].text);
    else if (event.key === "Escape" && !list.hidden) unfold(false);
    else return;
    event.preventDefault();
  });
  open.addEventListener("click", () => {
    text.focus();
    unfold(list.hidden);
  });
  const keepFocus = (event) => event.preventDefault();
  for (const node of [list, open]) node.addEventListener("pointerdown", keepFocus);
  list.addEventListener("click", (event) => {
    if (options.includes(event.target)) take(queries[options.indexOf(event.target)].text);
  });
  return () => unfold(false);
}

function render({ model, el }) {
  const parts = placed(HTML, model.get("title"), "Search for pictures by a description");
  const choose = choosing(model);
  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    const choice = chosen(model);
    say(parts.status, sentence(choice));
    const { ranking, scores, wanted } = choice.found ?? {};
    if (!ranking) return; // what was found before stays until the answer is there
    const cards = await Promise.all(ranking.map((place, i) => card(model, place, i + 1, scores[i], wanted)));
    if (mine !== turn) return;
    parts.found.replaceChildren(...cards);
    parts.root.dataset.drawn = turn;
  };
  const ask = (query) => {
    parts.text.value = query;
    fold();
    choose({ query });
  };
  const fold = combobox(parts, model.get("queries"), ask);
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (plain(parts.text.value)) ask(parts.text.value);
    else say(parts.status, "Nothing was described: type what should be seen, or choose a prepared description.");
  });
  const asked = () => {
    parts.text.value = model.get("query");
    show();
  };
  model.on("change:query", asked);
  model.on("change:answer", show);
  el.append(parts.root);
  asked();
  return () => {
    model.off("change:query", asked);
    model.off("change:answer", show);
  };
}

export default { render };
