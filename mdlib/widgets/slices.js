// The slices of a volume: a strip with a bar for each score, a slider, and where on a slice the network has looked.
// A picture is a volume of one slice, for which strip and slider are hidden. Part of the module, see explorer.py.
const MOST_SUSPICIOUS = -1; // the value of `slice` that follows the case's highest score

const SLICES = `
<div class="mdx-slices" data-part="slices">
  <div class="mdx-strip" data-part="strip" role="img"></div>
  <p class="mdx-keys"><span>Score of each slice, 0 to 1</span>
    <span data-part="outlinedKey"><span class="mdx-key mdx-outlined"></span><span
      data-part="outlinedWords"></span></span>
    <span data-part="pickedKey"><span class="mdx-key mdx-picked"></span>picked</span></p>
  <div class="mdx-field mdx-wrap"><label class="mdx-field"><span>Slice</span><input type="range" min="1" step="1"
    data-part="slice" aria-label="Slice"><span class="mdx-number" data-part="sliceNumber" aria-hidden="true"></span>
    </label>
    <button type="button" data-part="suspicious">Most suspicious</button></div>
</div>`;

const highest = (scores) => scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0);

// "slice 4", "slices 4 to 6, 9": numbers from 1, as people count.
function namedSlices(places) {
  const runs = [];
  for (const place of [...new Set(places)].sort((a, b) => a - b)) {
    if (runs.at(-1)?.[1] === place - 1) runs.at(-1)[1] = place;
    else runs.push([place, place]);
  }
  const said = runs.map(([from, to]) => (from === to ? `${from + 1}` : `${from + 1} to ${to + 1}`)).join(", ");
  return `slice${new Set(places).size === 1 ? "" : "s"} ${said}`;
}

// What belongs to the slice shown, and to each slice of the strip. Outlines are those of the film, whatever its twin.
function slicesOf(model, film, record, klass) {
  const count = film.scores.length;
  const wanted = model.get("slice");
  const s = wanted >= 0 && wanted < count ? wanted : highest(film.scores);
  const marks = record.marks.filter((mark) => mark.klass === null || mark.klass === klass);
  const outlined = film.outlined[klass] ?? [];
  return { s, count, score: record.scores[s], outlined: Object.values(film.outlined).flat(),
    outlines: (film.contours[klass] ?? []).filter((_, i) => outlined[i] === s),
    picked: marks.map((mark) => mark.slice), marks: marks.filter((mark) => mark.slice === s) };
}

// Words for the slice shown; none for a picture.
const sliceWords = ({ s, count, score }) => (count > 1 ? `slice ${s + 1} of ${count}, score ${score.toFixed(2)}` : "");

// The strip in words: how high, where above one half, where outlined, where picked.
function stripWords({ count, outlined, picked }, { scores }, outline) {
  const top = highest(scores);
  const high = scores.flatMap((score, i) => (score > 0.5 ? [i] : []));
  return [`Score of each of ${count} slices: highest ${scores[top].toFixed(2)} in slice ${top + 1}`,
    high.length ? `above 0.50 in ${namedSlices(high)}` : "nowhere above 0.50",
    outlined.length ? `${outline} outlined in ${namedSlices(outlined)}` : "",
    picked.length ? `the network picked in ${namedSlices(picked)}` : ""].filter(Boolean).join("; ");
}

// Put strip and slider in agreement with the choice.
function writeSlices(parts, { film, record, slices }) {
  const { s, count, outlined, picked } = slices;
  parts.slices.hidden = count < 2;
  while (parts.strip.children.length > count) parts.strip.lastChild.remove();
  while (parts.strip.children.length < count) parts.strip.append(element("span"));
  [...parts.strip.children].forEach((bar, i) => {
    bar.style.setProperty("--score", `${100 * record.scores[i]}%`);
    bar.title = `Slice ${i + 1}: ${record.scores[i].toFixed(2)}`;
    bar.classList.toggle("mdx-now", i === s);
    bar.classList.toggle("mdx-outlined", outlined.includes(i));
    bar.classList.toggle("mdx-picked", picked.includes(i));
  });
  parts.strip.setAttribute("aria-label", stripWords(slices, record, film.outline));
  parts.outlinedKey.hidden = !outlined.length;
  parts.outlinedWords.textContent = `outline: ${film.outline}`;
  parts.pickedKey.hidden = !film.marks.length;
  parts.slice.max = count;
  parts.slice.value = s + 1;
  parts.slice.setAttribute("aria-valuetext", sliceWords(slices));
  parts.sliceNumber.textContent = `${s + 1} of ${count}`;
  parts.sliceNumber.style.minWidth = `${2 * String(count).length + 4}ch`; // nothing moves from 9 to 10
}

// Click or drag over the strip. It takes no focus: the slider below it does the same by keyboard.
function scrub(strip, go) {
  const place = (event) => {
    const box = strip.getBoundingClientRect();
    const count = strip.children.length;
    go(clamp(Math.floor(((event.clientX - box.left) / box.width) * count), 0, count - 1));
  };
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    place(event);
  });
  strip.addEventListener("pointermove", (event) => {
    if (strip.hasPointerCapture(event.pointerId)) place(event);
  });
}
