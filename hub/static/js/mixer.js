// The mixer: slider and number of a strength are one control, and the address is the form.
// Everything else is the server's.
const form = () => document.querySelector("[data-mixer]");
const dial = (el) => el.closest("[data-dial]");
const inputs = (row) => row.querySelectorAll("[type=range], [type=number]");
const set = (row, value) => { for (const one of inputs(row)) one.value = value; };

document.addEventListener("input", ({ target }) => {
  const row = target.closest("[data-mixer]") && dial(target);
  if (!row || target.type === "checkbox") return;
  for (const one of inputs(row)) if (one !== target) one.value = target.value;
  // B begins as A is: it follows until the two are compared.
  if (row.dataset.dial === "A" && !form().querySelector("[value=ab]:checked")) {
    set(row.parentElement.querySelector("[data-dial=B]"), target.value);
  }
});

const OF_MODE = { b: "ab", mute_b: "ab", x: "xy", y: "xy", xs: "xy", ys: "xy" };
const LISTED = ["strength", "b"]; // have a value for each row, also an empty one
document.addEventListener("change", ({ target }) => {
  if (!target.form?.matches("[data-mixer]")) return;
  const all = new FormData(target.form);
  const mode = all.get("mode") ?? "";
  const kept = [...all].filter(([name, value]) => !["csrfmiddlewaretoken", "searched"].includes(name)
    && (value || LISTED.includes(name)) && (OF_MODE[name] ?? mode) === mode);
  const query = new URLSearchParams(kept);
  const { longest, texts } = target.form.dataset;
  if (`${query}`.length > Number(longest)) for (const name of texts.split(" ")) query.delete(name);
  history.replaceState(history.state, "", `/mixer${kept.length ? `?${query}` : ""}`);
});

// Results appear while one types; Enter in the search field must not render the mix.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.id === "more") event.preventDefault();
});

document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  const { name, value } = ctx.sourceElement;
  const search = document.getElementById("more");
  // The page keeps what is in a field with the focus, but this search has been of use.
  if (name === "add" && search) search.value = "";
  // On a phone the result is above the form.
  if (name === "do" && value !== "search") {
    document.getElementById("result")?.scrollIntoView({ block: "nearest" });
  }
});

// A request that fails leaves the page and its address; a refusal by the mixer is a page with it.
const fail = (ctx, reason) => {
  const note = document.querySelector("#ask .failure");
  if (!ctx?.select || !note) return;
  Object.assign(ctx, { swap: "none", push: "false" });
  note.querySelector("span").textContent = note.dataset[reason];
  note.hidden = false;
};
document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.text?.includes('id="mixer"')) return;
  fail(ctx, ctx.response.status === 429 ? "limited" : "failed");
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => fail(ctx, "offline"));
