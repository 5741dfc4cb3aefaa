// Lists of adapters: results while typing, failures, and going back to where one was in a long list.
import "./checkpoint.js";

const filters = document.getElementById("filters");

// One entry of the history for a search, however many letters were typed for it.
let isTyping = false;
document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement !== filters || !ctx.hx?.pushurl) return;
  const isTyped = ctx.sourceEvent?.type === "input";
  const isSame = ctx.hx.pushurl === location.pathname + location.search;
  if (isSame || (isTyped && isTyping)) {
    ctx.hx.replaceurl = ctx.hx.pushurl;
    delete ctx.hx.pushurl;
  }
  isTyping = isTyped;
});

// A request that fails leaves what is shown, and what was typed.
const fail = (ctx, reason) => {
  const part = ctx?.sourceElement?.closest("#filters, #pager");
  const note = part?.querySelector(".failure");
  if (!note) return;
  ctx.swap = "none";
  note.querySelector("span").textContent = note.dataset[reason];
  note.hidden = false;
};
document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  fail(ctx, ctx.response.status === 429 ? "limited" : "failed");
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => fail(ctx, "offline"));

// Controls that were used keep their state when the page is morphed; the server's state counts.
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.sourceElement !== filters) return;
  for (const el of filters.querySelectorAll("[type=radio], [type=checkbox]")) el.checked = el.defaultChecked;
  for (const el of filters.querySelectorAll("option")) el.selected = el.defaultSelected;
  for (const el of filters.querySelectorAll(".within, [type=number]")) {
    if (el !== document.activeElement) el.value = el.defaultValue;
  }
});

// Going back from an adapter: as many cards as before, at the same place. The entry of the history
// knows both.
const cards = () => document.querySelectorAll("[data-listing] .card").length;
document.addEventListener("click", (e) => {
  if (!e.target.closest?.("a[href]") || !cards()) return;
  history.replaceState({ ...history.state, cards: cards(), top: scrollY }, "");
});
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
const restore = async ({ cards: wanted = 0, top = 0 }) => {
  for (let tries = 0; cards() < wanted && tries < 100; tries += 1) {
    const next = document.querySelector("#pager [rel=next]");
    if (!next) break;
    const before = cards();
    await htmx.ajax("GET", next.dataset.hxGet, { source: next, target: ".cards" });
    if (cards() === before) await pause(100); // scrolling asked for the same page
  }
  if (wanted) scrollTo(0, top);
};
restore(history.state ?? {});
