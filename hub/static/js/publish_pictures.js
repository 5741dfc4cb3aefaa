// Pictures of the publish form: names of the chosen files, and the limit of their size. The form
// sends them; it arrives after this file, so events are caught on the document.
document.addEventListener("change", (e) => {
  const part = e.target.closest?.("[data-pictures]");
  if (!part) return;
  const files = [...e.target.files];
  part.querySelector("[data-names]").replaceChildren(...files.map((file) => (
    Object.assign(document.createElement("li"), { textContent: file.name }))));
  const size = files.reduce((sum, file) => sum + file.size, 0);
  e.target.setCustomValidity(size > Number(part.dataset.limit) ? part.dataset.sayLarge : "");
  e.target.reportValidity();
});
for (const [type, isOver] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(type, (e) => {
    e.target.closest?.("[data-pictures] .drop")?.classList.toggle("over", isOver);
  });
}
