// Dropped or chosen files are sent at once; without this script the form has a button.
const form = document.querySelector("[data-resolve]");
const input = form.elements.files;
const send = () => {
  const button = form.querySelector("button");
  button.textContent = button.dataset.working;
  form.requestSubmit();
};

input.addEventListener("change", () => input.files.length && send());
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (e) => {
    const drop = e.target.closest?.(".drop");
    if (!drop) return;
    e.preventDefault();
    drop.classList.toggle("over", type === "dragover");
    if (type !== "drop" || !e.dataTransfer.files.length) return;
    input.files = e.dataTransfer.files;
    send();
  });
}
