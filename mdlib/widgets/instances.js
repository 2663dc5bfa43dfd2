// The instances that a network crops, as it sees them, and the gates of its channels. A case without them shows none of
// this. Part of the explorer's module, see explorer.py.
const INSTANCES = `
<div class="mdx-instances" data-part="instances">
  <p data-part="cropsWords"></p>
  <div class="mdx-crops" data-part="crops" role="toolbar" aria-label="Instances: arrow keys go from one to the next and
    show its box in the picture, Enter keeps it highlighted, Escape lets it go"></div>
  <div class="mdx-gates" data-part="gates">
    <p data-part="gatesWords"></p>
    <span>1</span><span>0</span>
    <svg data-part="chart" role="img" preserveAspectRatio="none"><path data-part="bars"/></svg>
    <p class="mdx-ends"><span data-part="lowestGate"></span><span data-part="medianGate"></span><span
      data-part="highestGate"></span></p>
  </div>
</div>`;

// Instances and gates of a case or its twin, none where it has none, and which instance is highlighted: the one at which
// the reader glances or which is kept. `lit` is its box; one that repeats the first has that of the first.
function cropsOf(model, { instances = { boxes: [], found: [] }, gates = [] }, glance) {
  const wanted = glance === NONE ? model.get("instance") : glance;
  return { ...instances, gates, lit: instances.boxes[wanted] };
}

// How many were found; "" where nothing is cropped.
function foundWords({ boxes, found }) {
  if (!boxes.length) return "";
  const count = found.filter(Boolean).length;
  return count ? `Instances found: ${count} of ${boxes.length}.` : "No instance found: the whole picture is cropped.";
}

// The smallest box found around a place of the picture.
function cropAt({ boxes, found }, [x, y]) {
  const area = (i) => boxes[i][2] * boxes[i][3];
  return boxes.reduce((best, [left, top, wide, high], i) => {
    const inside = found[i] && x >= left && x <= left + wide && y >= top && y <= top + high;
    return inside && (best === NONE || area(i) < area(best)) ? i : best;
  }, NONE);
}

// Where a key leads from a crop.
function beside(list, button, key) {
  const buttons = [...list.children];
  const at = buttons.indexOf(button);
  return { ArrowLeft: buttons[at - 1], ArrowUp: buttons[at - 1], ArrowRight: buttons[at + 1], ArrowDown: buttons[at + 1],
    Home: buttons[0], End: buttons.at(-1) }[key];
}

// The buttons of all crops; `parts.cropped` is settled when their pictures are there.
function cropButtons(parts, model, { crops, found, words: of }) {
  const buttons = found.map((_, i) => {
    const state = found[i] ? "found" : i ? "repeats 1" : "nothing found: the whole picture";
    const button = element("button", { type: "button", className: "mdx-crop", tabIndex: i ? -1 : 0 },
      element("span", {}, element("span", { className: "mdx-hidden", textContent: "Instance " }),
        element("b", { textContent: i + 1 }), ` ${state}`),
      ...(of[i] ? [element("span", { className: "mdx-reference", textContent: of[i] })] : []));
    button.dataset.index = i;
    return button;
  });
  parts.cropped = Promise.all(buttons.map(async (button, i) => {
    const image = await decoded(model, crops.at.slice(2 * i, 2 * i + 2), crops.types[i]);
    button.prepend(Object.assign(image, { alt: "" }));
  }));
  return buttons;
}

// The value below which a share of sorted values lies, linear between two of them.
function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.ceil(at)] - sorted[low]);
}

function writeGates(parts, { gates }) {
  parts.gates.hidden = !gates.length;
  if (!gates.length) return;
  const [lowest, quarter, half, most, highest] = [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(gates, share).toFixed(3));
  parts.gatesWords.textContent = `Gates of ${gates.length} channels, sorted`;
  parts.chart.setAttribute("viewBox", `0 0 ${gates.length} 1`);
  parts.bars.setAttribute("d", `M0 1${gates.map((gate, i) => `V${1 - gate}H${i + 1}`).join("")}V1Z`);
  parts.chart.setAttribute("aria-label", `Gates of ${gates.length} channels, from ${lowest} to ${highest}: a quarter at ` +
    `most ${quarter}, half at most ${half}, three quarters at most ${most}`);
  parts.lowestGate.textContent = `lowest ${lowest}`;
  parts.medianGate.textContent = `median ${half}`;
  parts.highestGate.textContent = `highest ${highest}`;
}

// Put crops and gates in agreement with the choice.
function writeCrops(parts, model, { index, without, crops }) {
  parts.instances.hidden = !crops.boxes.length && !crops.gates.length;
  const list = `${index} ${without}`;
  if (parts.crops.dataset.list !== list) {
    parts.crops.dataset.list = list;
    parts.crops.hidden = parts.cropsWords.hidden = !crops.boxes.length;
    parts.crops.replaceChildren(...cropButtons(parts, model, crops));
    const side = crops.crops?.width;
    parts.crops.style.setProperty("--side", `${side}px`);
    parts.cropsWords.textContent = `Instances as the network sees them, ${side} × ${side} pixels`;
    writeGates(parts, crops);
  }
  [...parts.crops.children].forEach((button, i) => {
    button.setAttribute("aria-pressed", i === model.get("instance"));
    button.classList.toggle("mdx-now", crops.boxes[i].join() === crops.lit?.join());
  });
}
