// Runs the anywidgets of a saved page: no kernel, no module loader, no widget manager, no other host.
// MyST-NB leaves the widgets' state and a view tag a widget in the page, as Jupyter defines them; this reads both.
(() => {
  "use strict";
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

  const decoded = (base64) => new DataView(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);

  // What an anywidget asks of its model, with nobody on the other side.
  class Model {
    alone = true; // told to widgets that would ask Python
    constructor({ state, buffers = [] }) {
      this.state = { ...state };
      this.listeners = {};
      for (const { path, data } of buffers) {
        const owner = path.slice(0, -1).reduce((object, key) => object[key], this.state);
        owner[path.at(-1)] = decoded(data);
      }
    }
    get(name) { return this.state[name]; }
    set(name, value) {
      if (typeof name === "object") return void Object.entries(name).forEach(([n, v]) => this.set(n, v));
      if (this.state[name] === value) return;
      this.state[name] = value;
      this.tell(`change:${name}`, value);
      this.tell("change");
    }
    on(events, listener) { for (const event of events.split(" ")) (this.listeners[event] ||= []).push(listener); }
    off(event, listener) {
      if (!event) this.listeners = {};
      else this.listeners[event] = (this.listeners[event] || []).filter((other) => listener && other !== listener);
    }
    tell(event, value) { for (const listener of [...(this.listeners[event] || [])]) listener(this, value); }
    save_changes() {}
    send() {}
  }

  const modules = new Map(); // one import for all widgets with the same code
  function imported(code) {
    if (!modules.has(code)) {
      modules.set(code, import(URL.createObjectURL(new Blob([code], { type: "text/javascript" }))));
    }
    return modules.get(code);
  }

  function style(css) {
    if (!css || [...document.querySelectorAll("style")].some((sheet) => sheet.textContent === css)) return;
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  }

  const models = new Map();
  async function model(id, record, widget) {
    if (!models.has(id)) {
      models.set(id, new Model(record));
      await widget.initialize?.({ model: models.get(id) });
    }
    return models.get(id);
  }

  async function show(tag, records) {
    const id = JSON.parse(tag.textContent).model_id;
    const el = document.createElement("div");
    tag.after(el);
    const still = tag.closest(".cell_output")?.querySelector(".output:has(> noscript)");
    if (still) still.hidden = true; // the theme gives even an empty output a background
    const record = records[id];
    if (record?.model_module !== "anywidget") {
      el.textContent = "This control needs a running notebook.";
      return;
    }
    try {
      const { default: exported } = await imported(record.state._esm);
      const widget = typeof exported === "function" ? await exported() : exported;
      style(record.state._css);
      await widget.render({ model: await model(id, record, widget), el });
    } catch (error) {
      console.error(error);
      el.innerHTML = `<p>The viewer could not start in this browser.</p>${still?.firstElementChild.textContent ?? ""}`;
    }
  }

  async function start() {
    const records = {};
    for (const tag of document.querySelectorAll(STATE)) Object.assign(records, JSON.parse(tag.textContent).state);
    for (const tag of document.querySelectorAll(VIEW)) await show(tag, records);
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
