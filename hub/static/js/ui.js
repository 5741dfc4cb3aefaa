// Lorary: everything works without this file; it only saves round trips.
const $$ = (sel, root = document) => [...root.querySelectorAll(sel)];
const on = (type, sel, fn) => document.addEventListener(type, (e) => {
  const el = e.target.closest?.(sel);
  if (el) fn(el, e);
});
const toast = document.querySelector(".toast");
const say = (text) => {
  toast.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.textContent = ""; }, 2400);
};

// Choices that the server reads on the next page, so nothing flashes.
const keep = (name, value) => {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`;
};
const themes = ["auto", "light", "dark"];
const theme = () => document.documentElement.dataset.theme ?? "auto";
on("click", "[data-theme-next]", (el) => {
  const next = themes[(themes.indexOf(theme()) + 1) % 3];
  keep("theme", next);
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  el.querySelector("[data-theme-name]").textContent = el.dataset[next];
});
on("change", "[name=density]", (el) => {
  keep("density", el.value);
  el.closest("[data-density]").dataset.density = el.value;
});

// "/" goes to the search field.
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.target.matches("input, textarea, select")) return;
  const field = $$("input[type=search]").find((el) => el.checkVisibility());
  if (field) { e.preventDefault(); field.focus(); }
});

// Copy: the clipboard needs https; an older way serves plain http in a local network.
const copyOldWay = (text) => {
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "vh" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
};
on("click", "[data-copy]", async (el) => {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(el.dataset.copy);
    else copyOldWay(el.dataset.copy);
    const text = el.dataset.copy;
    say(`${toast.dataset.copied} ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`);
  } catch { say(toast.dataset.refused); }
});

// Controls that send their form at once.
on("change", "[data-submit]", (el) => el.form.requestSubmit());

// What is chosen goes into the address, so that a link shows the same.
const keepInUrl = (pairs) => {
  const url = new URL(location);
  for (const [name, value] of pairs) url.searchParams.set(name, value);
  history.replaceState(history.state, "", url);
};

// Tabs: real links underneath; arrows move, the panel follows.
const pick = (tab) => {
  for (const t of $$("[role=tab]", tab.closest("[role=tablist]"))) {
    const chosen = t === tab;
    t.setAttribute("aria-selected", chosen);
    t.tabIndex = chosen ? 0 : -1;
    document.getElementById(t.getAttribute("aria-controls")).hidden = !chosen;
  }
  keepInUrl([["tab", new URL(tab.href).searchParams.get("tab")]]);
};
on("click", "[role=tab]", (tab, e) => { e.preventDefault(); pick(tab); });
on("keydown", "[role=tab]", (tab, e) => {
  const all = $$("[role=tab]", tab.closest("[role=tablist]"));
  const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
  const next = step ? all.at((all.indexOf(tab) + step) % all.length)
    : { Home: all[0], End: all.at(-1) }[e.key];
  if (next) { e.preventDefault(); pick(next); next.focus(); }
});

// Sweep: slider, film frames and dragging across the picture are one control.
const show = (root, i) => {
  const frames = $$(".frame button", root);
  const frame = frames[Math.max(0, Math.min(frames.length - 1, i))];
  const live = root.querySelector(".live");
  const range = root.querySelector("input[type=range]");
  const img = live.querySelector("picture img");
  for (const source of $$("source", live)) source.remove();
  img.before(...$$("source", frame).map((source) => source.cloneNode()));
  img.src = frame.querySelector("picture img").src;
  img.alt = frame.dataset.alt;
  live.querySelector("[data-value]").textContent = frame.dataset.strength;
  live.querySelector("[data-says]").textContent = frame.title;
  range.value = frames.indexOf(frame);
  range.setAttribute("aria-valuetext", `${frame.dataset.strength}, ${frame.title}`);
  for (const f of frames) f.setAttribute("aria-current", f === frame);
  for (const b of $$("[data-recipe]", root)) b.dataset.copy = frame.dataset[b.dataset.recipe];
};
const sweepOf = (el) => el.closest("[data-sweep]");
on("input", "[data-sweep] input[type=range]", (el) => show(sweepOf(el), +el.value));
on("click", "[data-sweep] .frame button", (el, e) => {
  e.preventDefault();
  show(sweepOf(el), +el.value);
  keepInUrl(new FormData(sweepOf(el)));
});
on("change", "[data-sweep]", (form) => keepInUrl(new FormData(form)));
const drag = (img, e) => {
  const box = img.getBoundingClientRect();
  const n = $$(".frame", sweepOf(img)).length;
  show(sweepOf(img), Math.floor(((e.clientX - box.left) / box.width) * n));
};
on("dragstart", ".live img", (img, e) => e.preventDefault());
on("pointerdown", ".live img", (img, e) => { img.setPointerCapture(e.pointerId); drag(img, e); });
on("pointermove", ".live img", (img, e) => { if (e.buttons) drag(img, e); });
on("pointerup", ".live img", (img) => keepInUrl(new FormData(sweepOf(img))));

// Suggested words: accept or reject, and undo by pressing again.
on("click", "[data-decide]", (el) => {
  const chip = el.closest(".chip");
  const state = chip.dataset.state === el.dataset.decide ? "" : el.dataset.decide;
  chip.dataset.state = state;
  for (const b of $$("[data-decide]", chip)) b.setAttribute("aria-pressed", b.dataset.decide === state);
  chip.querySelector("input").disabled = state !== "accepted";
});
