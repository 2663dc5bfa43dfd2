// The explorer's drawing: bytes in, pictures and values out. It knows no control and no trait but `data` and `palette`.
// Part of the explorer's module, see explorer.py.
const CLOSEST = 8; // the largest zoom
const PICKED = "#4cc9f0"; // of marks; as in explorer.py

// The two cells beside a place (0 to 1) along an axis of `cells`, and how far it lies towards the second: pixel
// centres, as torch's align_corners=False.
function between(place, cells) {
  const at = clamp(place * cells - 0.5, 0, cells - 1);
  const low = Math.floor(at);
  return [low, Math.min(low + 1, cells - 1), at - low];
}

// A map of bytes between its cells, in bytes: `column` and `row` from `between`.
function bilinear(bytes, width, [left, right, along], [top, bottom, down]) {
  const upper = bytes[top * width + left] * (1 - along) + bytes[top * width + right] * along;
  const lower = bytes[bottom * width + left] * (1 - along) + bytes[bottom * width + right] * along;
  return upper * (1 - down) + lower * down;
}

// The value of a pane's map at a place of the picture, and its share of the maximum.
function valueAt({ bytes, maps, top }, [x, y]) {
  const share = bilinear(bytes, maps.width, between(x, maps.width), between(y, maps.height)) / 255;
  return { share, value: share * top };
}

// A map in colour at the size of the picture: interpolated first, so that a colour between two cells is that of the
// value between them; what lies below `threshold` of the maximum stays clear.
function coloured({ bytes, maps }, { width, height }, palette, threshold) {
  const canvas = element("canvas", { width, height });
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const columns = Array.from({ length: width }, (_, x) => between((x + 0.5) / width, maps.width));
  for (let y = 0, i = 0; y < height; y++) {
    const row = between((y + 0.5) / height, maps.height);
    for (const column of columns) {
      const value = Math.round(bilinear(bytes, maps.width, column, row));
      pixels[i++] = value < 255 * threshold ? 0 : palette[value];
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

// What is drawn of a choice: decoded pictures, each made once, and the coloured maps of what is shown now.
function layers(model) {
  const pictures = new Map();
  let maps = new Map();
  const palette = new Uint32Array(Uint8Array.from(bytesOf(model.get("palette"))).buffer); // 256 times R, G, B, A
  return {
    picture: ({ image }, s) => {
      const at = image.at.slice(2 * s, 2 * s + 2);
      if (!pictures.has(at[0])) pictures.set(at[0], decoded(model, at, image.types[s]));
      return pictures.get(at[0]);
    },
    overlays: (panes, image, threshold) => {
      const key = (pane) => `${pane.bytes.byteOffset} ${threshold}`;
      maps = new Map(panes.filter((pane) => !pane.empty).map((pane) =>
        [key(pane), maps.get(key(pane)) ?? coloured(pane, image, palette, threshold)]));
      return panes.map((pane) => maps.get(key(pane)));
    },
  };
}

// The part of the picture that is seen, in fractions of its sides, and what moves it. `at` is the crosshair, or null.
const view = () => ({
  scale: 1, x: 0.5, y: 0.5, at: null,
  get left() { return this.x - 0.5 / this.scale; },
  get top() { return this.y - 0.5 / this.scale; },
  centre(x, y) {
    const half = 0.5 / this.scale;
    [this.x, this.y] = [clamp(x, half, 1 - half), clamp(y, half, 1 - half)];
  },
  zoom(factor, [x, y] = this.at ?? [this.x, this.y]) { // around a place, which stays where it is on the screen
    const before = this.scale;
    this.scale = clamp(before * factor, 1, CLOSEST);
    this.centre(x + ((this.x - x) * before) / this.scale, y + ((this.y - y) * before) / this.scale);
  },
  reveal([x, y]) { // move as little as shows this place
    const half = 0.5 / this.scale;
    this.centre(clamp(this.x, x - half, x + half), clamp(this.y, y - half, y + half));
  },
});

// Where the labels of marks go, so that none covers another: the first free line from the top of its box down, then above
// it; null where there is none, as the sentence below the picture names all. `boxes` and `widths` in pixels.
function labelPlaces(boxes, widths, line) {
  const taken = [];
  return boxes.map(([left, top, , high], i) => {
    const lines = Array.from({ length: Math.max(1, Math.floor(high / line)) }, (_, n) => top + n * line);
    const free = [...lines, top - line].map((y) => ({ left, top: y, right: left + widths[i], bottom: y + line }))
      .find((a) => taken.every((b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top));
    if (free) taken.push(free);
    return free ? [free.left, free.top] : null;
  });
}

// Outlines in white and marks in thin cyan, on a dark halo: seen on any picture and any colour of the map. The box `lit`,
// where there is one, has a thick line inside.
function paint(canvas, picture, overlay, { opacity, polylines, marks, lit, seen }) {
  canvas.width = Math.round((canvas.clientWidth || 400) * devicePixelRatio); // 0 while the page has not placed it yet
  canvas.height = Math.round((canvas.width * picture.naturalHeight) / picture.naturalWidth);
  const context = canvas.getContext("2d");
  const [width, height] = [canvas.width * seen.scale, canvas.height * seen.scale];
  const [x, y] = [-seen.left * width, -seen.top * height];
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, x, y, width, height);
  context.globalAlpha = opacity;
  if (overlay) context.drawImage(overlay, x, y, width, height);
  context.globalAlpha = 1;
  context.lineJoin = "round";
  for (const [colour, thickness] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness * devicePixelRatio;
    for (const points of polylines) {
      context.beginPath();
      for (let i = 0; i < points.length; i += 2) context.lineTo(x + points[i] * width, y + points[i + 1] * height);
      context.stroke();
    }
  }
  const unit = devicePixelRatio;
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  const onCanvas = ([left, top, wide, high]) => [x + left * width, y + top * height, wide * width, high * height];
  for (const [colour, thickness] of lit ? [["#000", 7], [PICKED, 4]] : []) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thickness * unit });
    const [left, top, wide, high] = onCanvas(lit);
    context.strokeRect(left + 3.5 * unit, top + 3.5 * unit, wide - 7 * unit, high - 7 * unit);
  }
  const boxes = marks.map(({ box }) => onCanvas(box));
  const widths = marks.map(({ label }) => context.measureText(label).width + 6 * unit);
  const places = labelPlaces(boxes, widths, 15 * unit);
  for (const [colour, thickness] of [["#000", 3], [PICKED, 1]]) {
    Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineWidth: thickness * unit });
    const write = colour === PICKED ? "fillText" : "strokeText";
    marks.forEach(({ label }, i) => {
      context.strokeRect(...boxes[i]);
      if (places[i]) context[write](label, places[i][0] + 4 * unit, places[i][1] + 13 * unit);
    });
  }
}

// The colours of the map from low (nothing covered) to high, as a CSS gradient of nine stops.
function gradient(palette) {
  const stops = Array.from({ length: 9 }, (_, i) => 4 * Math.min(32 * i, 255))
    .map((start) => `rgb(${palette.slice(start, start + 3).join(" ")} / ${palette[start + 3] / 255})`);
  return `linear-gradient(to right, ${stops.join(",")})`;
}

// What is seen as one picture: the films in a block, each with its caption, and the sentence below.
function poster(films, captions, said) {
  const [{ width, height }] = films;
  const unit = Math.max(width / 416, 0.6);
  const [gap, line] = [10 * unit, 19 * unit];
  const columns = Math.ceil(Math.sqrt(films.length));
  const sheet = element("canvas", { width: Math.ceil(columns * (width + gap) + gap) });
  const context = sheet.getContext("2d");
  const font = `${14 * unit}px system-ui, sans-serif`;
  context.font = font;
  const wrapped = (text, room) => text.split(" ").reduce((lines, word) => {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (context.measureText(longer).width > room) lines.push(word);
    else lines[lines.length - 1] = longer;
    return lines;
  }, [""]);
  const below = captions.map((caption) => wrapped(caption, width));
  const deep = height + gap + line * Math.max(...below.map((lines) => lines.length));
  const last = wrapped(said, sheet.width - 2 * gap);
  const rows = Math.ceil(films.length / columns);
  sheet.height = Math.ceil(gap + rows * (deep + gap) + last.length * line + gap);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  Object.assign(context, { font, fillStyle: "#1f2328", textBaseline: "top" });
  const print = (lines, x, y) => lines.forEach((text, i) => context.fillText(text, x, y + i * line));
  films.forEach((film, i) => {
    const [x, y] = [gap + (i % columns) * (width + gap), gap + Math.floor(i / columns) * (deep + gap)];
    context.drawImage(film, x, y);
    print(below[i], x, y + height + gap / 2);
  });
  print(last, gap, gap + rows * (deep + gap));
  return sheet;
}
