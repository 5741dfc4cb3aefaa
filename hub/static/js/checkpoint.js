// A checkpoint's header is read in the browser, and sent to find its base model. The weights stay.
const MOST_HEAD = 16 * 1024 * 1024;

// The old short hash of Stable Diffusion tools: 64 KiB after the first MiB. Browsers have no digests
// on plain http.
const shortHash = async (file) => {
  const part = await file.slice(0x100000, 0x110000).arrayBuffer();
  if (!globalThis.crypto?.subtle || !part.byteLength) return "";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", part));
  return [...digest.slice(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

let turn = 0;
const read = async (drop, file) => {
  const found = document.getElementById("checkpoint-found");
  turn += 1;
  const mine = turn;
  found.textContent = drop.dataset.reading;
  try {
    const first = await file.slice(0, 8).arrayBuffer();
    const length = first.byteLength === 8 ? Number(new DataView(first).getBigUint64(0, true)) : 0;
    const head = file.slice(0, Math.min(8 + length, MOST_HEAD));
    const asked = new URLSearchParams({ name: file.name, size: file.size, autov1: await shortHash(file) });
    const { value } = drop.closest("form").elements.csrfmiddlewaretoken;
    const headers = { "X-CSRFToken": value, "Content-Type": "application/octet-stream" };
    const answer = await fetch(`${drop.dataset.checkpoint}?${asked}`, { method: "POST", headers, body: head });
    if (!answer.ok && answer.status !== 422) throw new Error(answer.status);
    const html = await answer.text();
    if (mine === turn) found.innerHTML = html;
  } catch {
    if (mine === turn) found.textContent = drop.dataset.failed;
  }
};

document.addEventListener("change", ({ target }) => {
  const drop = target.closest("[data-checkpoint]");
  if (drop && target.files[0]) read(drop, target.files[0]);
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (e) => {
    const drop = e.target.closest?.("[data-checkpoint]");
    if (!drop) return;
    e.preventDefault();
    drop.classList.toggle("over", type === "dragover");
    if (type === "drop" && e.dataTransfer.files[0]) read(drop, e.dataTransfer.files[0]);
  });
}
