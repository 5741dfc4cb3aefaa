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
on("click", "[data-forget]", (el, e) => {
  e.preventDefault();
  document.cookie = `${el.dataset.forget}=; path=/; max-age=0; samesite=lax`;
  location.reload();
});
// The choice of a checkpoint opens over the list; its page serves where it does not.
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.target?.id !== "picker-body") return;
  if (ctx.target.childElementCount) document.getElementById("picker").showPopover();
  else location.assign(ctx.sourceElement.href);
});
// After a press that brings a part of the page, the focus is at its first control.
let revealed;
document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
  revealed = ctx.sourceElement.dataset?.reveal;
});
document.addEventListener("htmx:after:swap", () => {
  if (!revealed) return;
  const part = document.querySelector(revealed);
  if (!part) return;
  const next = $$("a, button, input, select, summary", part).find((el) => el.checkVisibility());
  (next ?? part.closest(".card")?.querySelector(":is(h2, h3) a"))?.focus({ preventScroll: true });
});
on("change", "[name=density]", (el) => {
  keep("density", el.value);
  el.closest("[data-density]").dataset.density = el.value;
});

// Keys of their own; none while typing. `includes/dialogs.html` lists them.
const TYPING = "textarea, select, input:not([type=radio], [type=checkbox]), [contenteditable]";
const cardLinks = () => $$(".card :is(h2, h3) a");
const step = (by) => {
  const all = cardLinks();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? all.find((a) => a.getBoundingClientRect().top >= 0) ?? all[0] : all[at + by];
  next?.focus();
  next?.closest(".card").scrollIntoView({ block: "nearest" });
};
// The number of cards beside each other.
const perRow = () => {
  const tops = cardLinks().map((a) => a.closest(".card").offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
};
const keys = {
  "/": () => $$("input[type=search]:not(.within)").find((el) => el.checkVisibility())?.focus(),
  "?": () => document.getElementById("keys").togglePopover(),
  f: () => {
    const facets = document.getElementById("facets");
    if (facets && !facets.checkVisibility()) facets.showPopover();
    if (facets) $$("input", facets).find((el) => el.checkVisibility())?.focus();
  },
  j: () => step(1),
  k: () => step(-1),
};
const arrows = {
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowDown: () => step(perRow()),
  ArrowUp: () => step(-perRow()),
};
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches(TYPING)) return;
  const press = keys[e.key] ?? (cardLinks().includes(e.target) && arrows[e.key]);
  if (press) { e.preventDefault(); press(); }
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
  const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
  const next = by ? all.at((all.indexOf(tab) + by) % all.length)
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
  for (const button of $$("[data-cover]", root.parentElement)) {
    Object.assign(button, { value: frame.dataset.image, disabled: frame.dataset.image === "" });
  }
  const rating = root.parentElement.querySelector("[name=maturity]");
  if (rating) rating.value = frame.dataset.rating;
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
