// Try it: each row's slider and number are one control. Everything else is the server's.
const page = document.querySelector("[data-tryout]");
page.addEventListener("input", (e) => {
  const row = e.target.closest("[data-row]");
  if (!row) return;
  const [dial, number] = [row.querySelector("[data-dial]"), row.querySelector("[name=strength]")];
  if (e.target === dial) number.value = dial.value;
  else dial.value = number.value;
});
