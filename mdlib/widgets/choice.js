// What the traits ask for, and the sentence that says it. Part of the explorer's module, see explorer.py.
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
// glances, puts where the network looked in place of the method's map; an instance has its box highlighted.
function chosen(model, { word = NONE, instance = NONE } = {}) {
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
  const report = reportOf(model, record, word);
  const crops = cropsOf(model, record, instance);
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
    slices, report, crops, panes };
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
  const { index, film, record, without, k, klass, panes, slices, report, crops } = choice;
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
    foundWords(crops),
    seen.scale > 1 ? `Zoom ${seen.scale.toFixed(1)}.` : ""].filter(Boolean).join(" ");
}
