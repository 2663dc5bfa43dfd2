// What the widgets share: bytes, pictures, elements and numbers in words. First part of each module.
let instances = 0;

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const stored = (data, [start, length]) => data.subarray(start, start + length);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const words = (name) => name.replaceAll("_", " ");
const percent = (share) => `${Math.round(100 * share)} %`;
const number = (value) =>
  value !== 0 && (value < 0.01 || value >= 1000) ? value.toExponential(1) : String(Number(value.toPrecision(2)));

const element = (tag, attributes = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
};

// A picture of the trait `data`, ready to be drawn or placed.
async function decoded(model, at, type) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([stored(bytesOf(model.get("data")), at)], { type }));
  await image.decode();
  URL.revokeObjectURL(image.src);
  return image;
}

// A widget's element with all controls and places to write to, by name.
function placed(html, title, label) {
  const root = element("section", { className: "mdx", id: `mdx-${++instances}`, innerHTML: html });
  const named = [...root.querySelectorAll("[data-part]")].map((node) => [node.dataset.part, node]);
  const parts = { root, ...Object.fromEntries(named) };
  root.setAttribute("aria-label", title || label);
  root.dataset.lmSuppressShortcuts = "true"; // in JupyterLab, keys belong to the widget, not to the notebook
  root.addEventListener("keydown", (event) => { // JupyterLab would take Enter away from buttons and fields
    const alone = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (event.key === "Enter" && alone) event.stopPropagation();
  });
  parts.title.textContent = title;
  return parts;
}

// Unchanged words are not spoken again.
function say(node, said) {
  if (node.textContent !== said) node.textContent = said;
}

// Set traits, and let Python know where there is one.
function choosing(model) {
  return (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
}
