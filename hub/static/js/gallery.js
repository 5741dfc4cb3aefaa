// Bringing pictures: each chosen or dropped file is one body of the REST API.
// Words come from the page (data-say-*), so they are translated there.
const form = document.querySelector("[data-upload]");
const log = form.querySelector("[data-log]");
const input = form.querySelector("input[type=file]");
const drop = form.querySelector(".drop");
const words = (name, facts) => form.dataset[`say${name[0].toUpperCase()}${name.slice(1)}`]
  .replace(/\{(\w+)\}/g, (_, fact) => facts[fact] ?? "");

// XMLHttpRequest: fetch tells nothing of the progress of a body.
const send = (file, say) => new Promise((done) => {
  const xhr = new XMLHttpRequest();
  const facts = { name: file.name, maturity: form.elements.maturity.value };
  xhr.open("POST", `${form.dataset.upload}?${new URLSearchParams(facts)}`);
  xhr.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  xhr.upload.onprogress = (e) => say("sending", { percent: `${Math.floor((100 * e.loaded) / e.total)}%` });
  xhr.onerror = xhr.onabort = () => { say("failed", { reason: form.dataset.sayLine }); done(); };
  xhr.onload = () => {
    let answer = {};
    try { answer = JSON.parse(xhr.response); } catch { answer.detail = `HTTP ${xhr.status}`; }
    if (xhr.status < 300) say("sent", {});
    else say("failed", { reason: answer.detail });
    done(xhr.status < 300);
  };
  xhr.send(file);
});

// The pictures as the server shows them; from there on the list looks by itself.
const refresh = async () => {
  const answer = await fetch(form.dataset.part);
  if (!answer.ok) return;
  document.getElementById("prints").outerHTML = await answer.text();
  window.htmx?.process(document.getElementById("prints"));
};

const take = async (files) => {
  for (const file of files) {
    const line = log.appendChild(document.createElement("li"));
    const say = (name, facts) => {
      line.textContent = words(name, { name: file.name, ...facts });
      line.classList.toggle("err", name === "failed");
    };
    if (await send(file, say)) { line.remove(); await refresh(); }
  }
};

input.addEventListener("change", async () => {
  const files = [...input.files];
  input.value = "";
  await take(files);
});
for (const [type, isOver] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(type, () => drop.classList.toggle("over", isOver));
}
