// The search of the nodes: a dialog with pictures, and the picture of what was chosen.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODES = {
  LoraryLoadLora: { what: "adapters", field: "adapter", title: "LoRAs on your hub" },
  LoraryLoadPack: { what: "packs", field: "pack", title: "Packs on your hub" },
};
const RATINGS = ["general", "suggestive", "mature", "explicit"];
const STYLE = `
.lorary { width: min(60rem, 92vw); height: 85vh; padding: 1rem; flex-direction: column; gap: .75rem;
  color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #222);
  border: 1px solid var(--border-color, #444); border-radius: 8px; font: 14px sans-serif; }
.lorary[open] { display: flex; }
.lorary::backdrop { background: rgb(0 0 0 / 60%); }
.lorary :is(h2, p) { margin: 0; font-size: 1rem; }
.lorary p:empty { display: none; }
.lorary form { display: flex; gap: .5rem; }
.lorary input { flex: 1; min-width: 0; }
.lorary input, .lorary select, .lorary form button { padding: .4rem .6rem; color: inherit;
  background: var(--comfy-input-bg, #333); border: 1px solid var(--border-color, #555); border-radius: 4px; font: inherit; }
.lorary ul { flex: 1; overflow: auto; display: grid; gap: .75rem; margin: 0; padding: 2px; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); align-content: start; }
.lorary li button { width: 100%; padding: 0; overflow: hidden; color: inherit; text-align: left; cursor: pointer;
  background: var(--comfy-input-bg, #333); border: 1px solid var(--border-color, #555); border-radius: 6px; font: inherit; }
.lorary li button:is(:hover, :focus-visible) { outline: 2px solid var(--p-primary-color, #6aa9ff); }
.lorary img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; background: #0003; }
.lorary span { display: block; margin: .3rem .5rem; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.lorary small { opacity: .75; }`;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function picture(what, name) {
  return api.apiURL(`/lorary/picture?${new URLSearchParams({ what, name })}`);
}

function widget(node, name) {
  return node.widgets.find((one) => one.name === name);
}

function set(node, name, value) {
  const found = widget(node, name);
  found.value = value;
  found.callback?.(value);
}

async function recommended(name) {
  try {
    const response = await api.fetchApi(`/lorary/strength?${new URLSearchParams({ name })}`);
    return (await response.json()).strength ?? 1;
  } catch { // ComfyUI does not answer
    return 1;
  }
}

async function choose(node, kind, found) {
  set(node, kind.field, found.name);
  set(node, "version", found.version);
  if (found.variants) {
    set(node, "variant", found.variants[0] ?? "");
  } else {
    set(node, "file", ""); // that of another adapter
    const strength = await recommended(`${found.name}@${found.version}`);
    set(node, "strength_model", strength);
    set(node, "strength_clip", strength);
  }
  node.setDirtyCanvas?.(true, true);
}

function search(node, kind) {
  const words = element("input", { type: "search", placeholder: "noir base:sdxl", ariaLabel: "Search" });
  const ratings = RATINGS.map((one, row) =>
    element("option", { value: one, textContent: row ? `up to ${one}` : one }));
  const rating = element("select", { ariaLabel: "Highest content rating" }, ...ratings);
  const list = element("ul");
  const note = element("p", { role: "status" });
  const form = element("form", {}, words, rating, element("button", { textContent: "Search" }));
  const dialog = element(
    "dialog", { className: "lorary" }, element("h2", { textContent: kind.title }), form, note, list,
  );
  let last = 0;

  async function show() {
    const number = ++last;
    const query = new URLSearchParams({ what: kind.what, q: words.value, rating: rating.value });
    note.textContent = "Searching…";
    let answer;
    try {
      answer = await (await api.fetchApi(`/lorary/search?${query}`)).json();
    } catch (error) {
      answer = { results: [], error: `ComfyUI does not answer: ${error.message}` };
    }
    if (number !== last) return; // a later search was faster
    const { results, error } = answer;
    note.textContent = error || (results.length ? "" : "Nothing was found.");
    list.replaceChildren(...results.map((found) => {
      const image = element("img", { src: picture(kind.what, found.name), alt: "", loading: "lazy" });
      const rows = [found.title || found.name, `${found.name} ${found.version}`, found.for, found.words];
      const lines = rows.map((text, row) =>
        element("span", { title: text }, element(row ? "small" : "b", { textContent: text || "\u00a0" })));
      const button = element("button", { type: "button", onclick: () => {
        dialog.close();
        choose(node, kind, found);
      } }, image, ...lines);
      return element("li", {}, button);
    }));
  }

  let waiting;
  words.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 300);
  };
  rating.onchange = show;
  form.onsubmit = (event) => {
    event.preventDefault();
    show();
  };
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  // The canvas has shortcuts, and it pastes nodes.
  for (const kind of ["keydown", "copy", "cut", "paste"]) {
    dialog.addEventListener(kind, (event) => event.stopPropagation());
  }
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
  show();
}

app.registerExtension({
  name: "lorary.search",
  setup() {
    document.head.append(element("style", { textContent: STYLE }));
  },
  nodeCreated(node) {
    const kind = NODES[node.comfyClass];
    if (!kind) return;
    node.addWidget("button", "Search", null, () => search(node, kind), { serialize: false });
    const image = element("img", { alt: "", hidden: true });
    Object.assign(image.style, { width: "100%", height: "100%", objectFit: "contain" });
    image.onload = () => (image.hidden = false);
    image.onerror = () => (image.hidden = true);
    node.addDOMWidget("cover", "image", image, { serialize: false, getMinHeight: () => 128 });
    const named = widget(node, kind.field);
    const before = named.callback;
    const draw = () => {
      image.hidden = true;
      if (named.value) image.src = picture(kind.what, named.value);
    };
    named.callback = function (...values) {
      before?.apply(this, values);
      draw();
    };
    const configure = node.onConfigure; // a workflow was opened
    node.onConfigure = function (...values) {
      configure?.apply(this, values);
      draw();
    };
  },
});
