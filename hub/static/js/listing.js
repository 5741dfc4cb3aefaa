// Lists of adapters: results while typing, failures, and going back to where one was in a long list.
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
const fail = (ctx, text) => {
  const note = document.getElementById("failure");
  if (!note || !ctx?.sourceElement?.closest("[data-listing]")) return;
  ctx.swap = "none";
  note.querySelector("span").textContent = note.dataset[text];
  note.hidden = false;
};
document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  fail(ctx, ctx.response.status === 429 ? "limited" : "failed");
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => fail(ctx, "offline"));

// Controls that were used keep their state when the page is morphed; the server's state counts.
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.sourceElement !== filters) return;
  for (const el of filters.querySelectorAll("input[type=radio]")) el.checked = el.defaultChecked;
  for (const el of filters.querySelectorAll("option")) el.selected = el.defaultSelected;
});
