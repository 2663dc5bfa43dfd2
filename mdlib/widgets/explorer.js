// The explorer's browser half: reads the traits, draws on one canvas, writes the reader's choices back.
// Works with a kernel and without: nothing here waits for an answer.
const MOST_PROBABLE = ""; // the value of `klass` that follows the network's highest probability
let instances = 0;

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const slice = (data, [start, length]) => data.subarray(start, start + length);
const element = (tag, attributes = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
};
const number = (value) =>
  value !== 0 && (value < 0.01 || value >= 1000) ? value.toExponential(1) : String(Number(value.toPrecision(2)));
const truthWord = (truth) => (truth === null ? "unknown" : truth ? "present" : "absent");

// Why nothing is drawn of a map, as a sentence without its full stop; "" where it is drawn. Zeros and rounding are no
// signal; a map that is negative everywhere is one, of which eq. 7's ReLU leaves nothing.
function whyEmpty(maps, m) {
  if (!maps.signal[m]) return "this map carries no signal";
  return maps.peak[m] > 0 ? "" : "nothing speaks for this class here: all values are 0 or below";
}

// What the traits ask for, with every gap filled: the case, its class and its map.
function chosen(model) {
  const cases = model.get("cases");
  const index = Math.min(Math.max(model.get("case"), 0), cases.length - 1);
  const record = cases[index];
  const wanted = record.classes.indexOf(model.get("klass"));
  const likeliest = record.probability.indexOf(Math.max(...record.probability));
  const k = wanted >= 0 ? wanted : likeliest;
  const method = model.get("method");
  const maps = record.maps[method];
  const m = maps.count === 1 ? 0 : k;
  return { index, record, k, likeliest, automatic: wanted < 0, method, maps, m, empty: whyEmpty(maps, m),
    klass: record.classes[k], outlines: record.contours[record.classes[k]] ?? [] };
}

// Bilinear interpolation of one map of bytes to `width` x `height` (pixel centres, as torch's align_corners=False),
// then colour: in this order, so that a colour between two cells is the colour of the value between them.
function coloured(map, mapWidth, mapHeight, width, height, colours) {
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const axis = (size, cells) => Array.from({ length: size }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * cells) / size - 0.5, 0), cells - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, cells - 1), at - low];
  });
  const columns = axis(width, mapWidth);
  axis(height, mapHeight).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, along], x) => {
      const upper = map[top * mapWidth + left] * (1 - along) + map[top * mapWidth + right] * along;
      const lower = map[bottom * mapWidth + left] * (1 - along) + map[bottom * mapWidth + right] * along;
      pixels[y * width + x] = colours[Math.round(upper * (1 - down) + lower * down)];
    });
  });
  return picture;
}

// The two layers of a choice: the decoded picture and the coloured map, each made once.
function layers(model) {
  const pictures = new Map();
  const overlays = new Map();
  const colours = new Uint32Array(Uint8Array.from(bytesOf(model.get("palette"))).buffer); // 256 times R, G, B, A
  const once = (store, key, make) => store.get(key) ?? store.set(key, make()).get(key);
  return {
    picture: ({ index, record }) => once(pictures, index, async () => {
      const image = new Image();
      const file = new Blob([slice(bytesOf(model.get("data")), record.image.at)], { type: record.image.type });
      image.src = URL.createObjectURL(file);
      await image.decode();
      URL.revokeObjectURL(image.src);
      return image;
    }),
    overlay: ({ index, record, method, maps, m }) => once(overlays, `${index} ${method} ${m}`, () => {
      const { width, height } = record.image;
      const cells = maps.width * maps.height;
      const map = slice(bytesOf(model.get("data")), [maps.at + m * cells, cells]);
      const canvas = element("canvas", { width, height });
      canvas.getContext("2d").putImageData(coloured(map, maps.width, maps.height, width, height, colours), 0, 0);
      return canvas;
    }),
  };
}

// Outlines in white on a dark halo: seen on any picture and any colour of the map.
function outline(context, polylines, width, height) {
  context.lineJoin = "round";
  for (const [colour, thickness] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness * devicePixelRatio;
    for (const points of polylines) {
      context.beginPath();
      for (let i = 0; i < points.length; i += 2) context.lineTo(points[i] * width, points[i + 1] * height);
      context.stroke();
    }
  }
}

function paint(canvas, picture, overlay, { opacity, polylines }) {
  const shown = canvas.clientWidth || 400; // 0 while the page has not placed the widget yet
  canvas.width = Math.round(shown * devicePixelRatio);
  canvas.height = Math.round((canvas.width * picture.naturalHeight) / picture.naturalWidth);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (overlay) {
    context.globalAlpha = opacity;
    context.drawImage(overlay, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  outline(context, polylines, canvas.width, canvas.height);
}

// The sentence under the picture, which screen readers speak when it changes.
function sentence(model, choice) {
  const { index, record, k, klass, method, maps, m, empty, outlines } = choice;
  const parts = [`Case ${index + 1} of ${model.get("cases").length}, ${record.name}.`,
    `${klass}: probability ${record.probability[k].toFixed(2)}, truth ${truthWord(record.truth[k])}.`];
  const whose = maps.count === 1 && record.classes.length > 1 ? `${method} (one map for all classes)` : method;
  parts.push(empty ? `${whose}: ${empty}, so nothing is drawn.` : `${whose}: maximum ${number(maps.peak[m])}.`);
  if (model.get("contour")) {
    parts.push(outlines.length ? "The white outline is the truth." : `No outline is known for ${klass} here.`);
  }
  return parts.join(" ");
}

// One choice of class: a native radio button, so arrows, Tab and screen readers need no help from us.
function classRow(group, value, name, probability, truth) {
  const input = element("input", { type: "radio", name: group, value });
  const hidden = (text) => element("span", { className: "mdx-hidden", textContent: text });
  const words = name.split("_").flatMap((word, i) => (i ? ["_", element("wbr"), word] : [word]));
  const label = element("label", { className: "mdx-class" }, input, element("span", {}, ...words));
  if (probability !== null) {
    const bar = element("span", { className: "mdx-bar" });
    bar.setAttribute("aria-hidden", "true");
    bar.style.setProperty("--share", `${100 * probability}%`);
    label.append(bar, hidden(" probability "), element("span", { textContent: probability.toFixed(2) }),
      hidden(", truth "), element("span", { className: `mdx-${truth}`, textContent: truth }));
  }
  return label;
}

// All controls and places to write to, as one tree with names.
function build(id, title, cases, methods) {
  const at = (name, node, ...children) => {
    node.append(...children);
    return (parts[name] = node);
  };
  const parts = {};
  const options = (names) => names.map((name, value) => new Option(name, value));
  const labelled = (text, control) => element("label", { className: "mdx-field" }, element("span", { textContent: text }), control);
  const step = (name, label, text) => {
    const button = at(name, element("button", { type: "button", textContent: text, title: label }));
    button.setAttribute("aria-label", label);
    return button;
  };
  const stage = element("div", { className: "mdx-stage" }, at("canvas", element("canvas")),
    at("silent", element("p", { className: "mdx-silent" })));
  parts.canvas.setAttribute("role", "img");
  const legend = at("legend", element("div", { className: "mdx-legend" }), "low",
    at("ramp", element("span", { className: "mdx-ramp" })), "high", at("peak", element("span", { className: "mdx-peak" })));
  const look = element("div", { className: "mdx-look" },
    labelled("Opacity of the map", at("opacity", element("input", { type: "range", min: 0, max: 1, step: 0.05 }))),
    at("contourField", element("label"), at("contour", element("input", { type: "checkbox" })), " Outline of the truth"));
  const choose = element("div", { className: "mdx-choose" },
    element("div", { className: "mdx-case" },
      labelled("Case", at("case", element("select"), ...options(cases.map((c, i) => `${i + 1}. ${c.name}`)))),
      step("previous", "Previous case", "‹"), step("next", "Next case", "›")),
    labelled("Method", at("method", element("select"), ...options(methods))),
    at("classes", element("fieldset", { className: "mdx-classes" })));
  at("root", element("section", { className: "mdx", id }),
    element("p", { className: "mdx-title", textContent: title, hidden: !title }),
    element("div", { className: "mdx-row" }, element("div", { className: "mdx-picture" }, stage, legend, look), choose),
    at("status", element("p", { className: "mdx-status" })), at("notes", element("p", { className: "mdx-notes" })));
  parts.root.setAttribute("aria-label", title || "Explorer of heat maps");
  parts.status.setAttribute("role", "status");
  parts.status.setAttribute("aria-live", "polite");
  parts.contourField.hidden = cases.every((c) => Object.keys(c.contours).length === 0);
  return parts;
}

function listClasses(parts, { index, record, likeliest, automatic, klass }) {
  if (parts.classes.dataset.case !== String(index)) {
    parts.classes.dataset.case = index;
    const group = `${parts.root.id}-class`;
    parts.classes.replaceChildren(element("legend", { textContent: "Class: probability and truth" }),
      classRow(group, MOST_PROBABLE, `Most probable (${record.classes[likeliest]})`, null, null),
      ...record.classes.map((name, k) => classRow(group, name, name, record.probability[k], truthWord(record.truth[k]))));
  }
  for (const input of parts.classes.querySelectorAll("input")) {
    input.checked = input.value === (automatic ? MOST_PROBABLE : klass);
    input.parentElement.classList.toggle("mdx-shown", input.value === klass);
  }
}

// Put the state of the controls and all words in agreement with the traits.
function write(parts, model, choice) {
  const { index, record, klass, method, maps, m, empty } = choice;
  parts.case.value = index;
  parts.previous.disabled = index === 0;
  parts.next.disabled = index === model.get("cases").length - 1;
  parts.method.value = model.get("methods").indexOf(method);
  parts.opacity.value = model.get("opacity");
  parts.contour.checked = model.get("contour");
  listClasses(parts, choice);
  parts.silent.hidden = !empty;
  parts.silent.textContent = empty && `${empty[0].toUpperCase()}${empty.slice(1)}.`;
  parts.legend.classList.toggle("mdx-off", Boolean(empty));
  parts.peak.textContent = empty ? "" : `maximum ${number(maps.peak[m])}`;
  parts.canvas.setAttribute("aria-label", `${record.alt || record.name}; map of ${method} for ${klass}`);
  parts.notes.textContent = record.notes;
  const said = sentence(model, choice);
  if (parts.status.textContent !== said) parts.status.textContent = said; // unchanged words are not spoken again
}

// The colours of the map from low (nothing covered) to high, as a CSS gradient of nine stops.
function gradient(palette) {
  const stops = Array.from({ length: 9 }, (_, i) => 4 * Math.min(32 * i, 255))
    .map((start) => `rgb(${palette.slice(start, start + 3).join(" ")} / ${palette[start + 3] / 255})`);
  return `linear-gradient(to right, ${stops.join(",")})`;
}

function render({ model, el }) {
  const parts = build(`mdx-${++instances}`, model.get("title"), model.get("cases"), model.get("methods"));
  const { picture, overlay } = layers(model);
  parts.ramp.style.backgroundImage = gradient(bytesOf(model.get("palette")));
  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    const choice = chosen(model);
    write(parts, model, choice);
    const image = await picture(choice);
    if (mine !== turn) return; // a later choice is already being drawn
    const polylines = model.get("contour") ? choice.outlines : [];
    paint(parts.canvas, image, choice.empty ? null : overlay(choice), { opacity: model.get("opacity"), polylines });
    parts.root.dataset.drawn = turn;
  };
  const choose = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  parts.case.addEventListener("change", () => choose("case", Number(parts.case.value)));
  parts.previous.addEventListener("click", () => choose("case", chosen(model).index - 1));
  parts.next.addEventListener("click", () => choose("case", chosen(model).index + 1));
  parts.method.addEventListener("change", () => choose("method", model.get("methods")[parts.method.value]));
  parts.classes.addEventListener("change", (event) => choose("klass", event.target.value));
  parts.opacity.addEventListener("input", () => choose("opacity", Number(parts.opacity.value)));
  parts.contour.addEventListener("change", () => choose("contour", parts.contour.checked));
  const traits = ["case", "klass", "method", "opacity", "contour"].map((name) => `change:${name}`);
  for (const trait of traits) model.on(trait, show);
  const resized = new ResizeObserver(show);
  resized.observe(parts.canvas.parentElement);
  el.append(parts.root);
  show();
  return () => {
    resized.disconnect();
    for (const trait of traits) model.off(trait, show);
  };
}

export default { render };
