// Publishing: the header is read first, the form fills itself, the bytes follow (sending.js).
// Words come from the page (data-say-*), so they are translated there.
import { OtherFile, Sending, Stopped, token } from "./sending.js";

const root = document.querySelector("[data-publish]");
const find = (name, within = root) => within.querySelector(`[data-${name}]`);
const MOST_HEAD = 16 * 1024 * 1024;
const REDRAW_MS = 250;

const words = (name, facts = {}) => {
  const key = `say${name[0].toUpperCase()}${name.slice(1)}`;
  return root.dataset[key].replace(/\{(\w+)\}/g, (_, fact) => facts[fact] ?? "");
};
const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (bytes >= 1000 && step < 4) { bytes /= 1000; step += 1; }
  return `${bytes.toFixed(step && bytes < 100 ? 1 : 0)} ${units[step]}`;
};
const time = (s) => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.ceil(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
const isWeights = (file) => /\.safetensors$/i.test(file.name);
const isPickle = (file) => root.dataset.pickles.split(" ").includes(file.name.split(".").pop().toLowerCase());
const isNot = (message) => Object.assign(new Error(message), { isRefusal: true });

// What the page was opened for has begun, so it says no more that it waits.
const goesOn = () => {
  if (!root.dataset.resume) return;
  delete root.dataset.resume;
  find("begun").remove();
  root.querySelector(".drop label").textContent = words("drop");
};

// One file on the page.
class Row {
  constructor(file, isFirst) {
    this.file = file;
    this.box = find("row").content.firstElementChild.cloneNode(true);
    find("rows").append(this.box);
    find("upload-name", this.box).textContent = file.name;
    this.bar = this.box.querySelector("progress");
    this.bar.setAttribute("aria-label", file.name);
    for (const name of this.box.querySelectorAll("[data-of]")) name.textContent = ` ${file.name}`;
    find("pause", this.box).addEventListener("click", () => this.toggle());
    find("cancel", this.box).addEventListener("click", () => this.cancel());
    const { uploads, find: where, token: csrf, resume } = root.dataset;
    const given = isFirst ? resume : "";
    this.sending = new Sending(file, { uploads, find: where, csrf, given, tell: (name, facts) => this.tell(name, facts) });
    this.drawnAt = 0;
    this.told = "";
  }

  // Every word is shown; listeners hear of changes, and of every tenth of the way.
  tell(name, facts = {}) {
    if (name === this.name && name !== "waiting" && performance.now() - this.drawnAt < REDRAW_MS) return;
    this.drawnAt = performance.now();
    this.name = name;
    const { sent } = this.sending;
    const share = this.file.size ? (100 * sent) / this.file.size : 100;
    const said = name === "sending" && !facts.speed ? "sent" : name;
    this.say(words(said, {
      sent: size(sent),
      total: size(this.file.size),
      here: size(facts.here ?? 0),
      speed: size(facts.speed ?? 0),
      left: time(facts.left ?? 0),
      wait: time((facts.ms ?? 0) / 1000),
      percent: facts.total ? `${Math.floor((100 * facts.done) / facts.total)} %` : "…",
      digest: facts.digest && `${facts.digest.slice(0, 8)}…${facts.digest.slice(-4)}`,
    }), `${name}${name === "sending" ? Math.floor(share / 10) : ""}`);
    if (["resumed", "sending", "checking", "accepted"].includes(name)) goesOn();
    if (name === "resumed") find("upload-note", this.box).textContent = find("upload-text", this.box).textContent;
    this.bar.value = name === "accepted" || name === "checking" ? 100 : share;
    const { isPaused } = this.sending;
    const pause = find("pause", this.box);
    const icon = pause.querySelector("use");
    pause.querySelector("span").textContent = words(isPaused ? "resume" : "pause");
    icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, isPaused ? "#play" : "#pause"));
    pause.hidden = ["checking", "accepted", "comparing"].includes(name);
  }

  say(text, news) {
    find("upload-text", this.box).textContent = text;
    if (news === this.told) return;
    this.told = news;
    find("live").textContent = `${this.file.name}: ${text}`;
  }

  toggle() {
    if (this.sending.isPaused) this.sending.resume();
    else this.sending.pause();
  }

  async cancel() {
    if (!window.confirm(words("sure", { name: this.file.name }))) return;
    await this.sending.cancel().catch(() => {});
    leave(this);
  }

  fail(error) {
    this.isOver = true;
    if (error instanceof OtherFile) find("sheet").replaceChildren();
    this.say(reasonOf(error), "failed");
    const errors = (error.findings ?? []).filter((found) => found.severity === "error");
    const list = find("upload-findings", this.box);
    list.replaceChildren(...errors.map((found) => {
      const item = document.createElement("li");
      const level = Object.assign(document.createElement("span"), { className: "cap redline", textContent: words("refused") });
      item.append(level, Object.assign(document.createElement("b"), { textContent: found.message }));
      return item;
    }));
    list.hidden = !errors.length;
    find("pause", this.box).hidden = true;
    this.bar.hidden = !this.bar.value;
  }
}

const ADVICE = { quota_exceeded: "room", validation_failed: "room", too_large: "smaller", wrong_state: "anew" };
const reasonOf = (error) => {
  if (error instanceof OtherFile) return words("other");
  if (error.name === "NotReadableError" || error.name === "NotFoundError") return words("changed");
  if (error.isRefusal) return error.message;
  const advice = ADVICE[error.code];
  const reason = error.findings?.find((found) => found.severity === "error")?.message ?? error.message;
  return [words("failed", { reason }), advice && words(advice)].filter(Boolean).join(" ");
};

let rows = [];
let turn = 0;

const buttons = () => root.querySelectorAll("[data-publish-button]");
const isMine = (row) => rows.includes(row);

const leave = (row) => {
  const wasMain = row === rows[0];
  rows = wasMain ? [] : rows.filter((one) => one !== row);
  row.box.remove();
  find("live").textContent = words("cancelled", { name: row.file.name });
  if (wasMain) clear();
  root.querySelector(".drop input").focus();
  finish();
};

const clear = () => {
  for (const row of rows) row.sending.stop();
  rows = [];
  turn += 1;
  find("rows").replaceChildren();
  find("sheet").replaceChildren();
};

// The server reads the first bytes and sends back the form, or why the file is refused.
const readHeader = async (file) => {
  const first = await file.slice(0, 8).arrayBuffer();
  const length = first.byteLength === 8 ? Number(new DataView(first).getBigUint64(0, true)) : 0;
  const head = file.slice(0, Math.min(8 + length, MOST_HEAD));
  const asked = new URLSearchParams({ name: file.name, size: file.size, to: root.dataset.to });
  const headers = { "X-CSRFToken": token(root.dataset.token), "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${root.dataset.read}?${asked}`, { method: "POST", headers, body: head });
  if (answer.redirected) window.location.reload(); // the session ended: sign in again
  if (!answer.ok && answer.status !== 422) throw isNot(words("unread", { reason: `HTTP ${answer.status}` }));
  return { isTaken: answer.ok, html: await answer.text() };
};

// Of the first weights the form is shown; of others only why they are refused.
const look = async (row) => {
  row.say(words("reading"), "reading");
  const { isTaken, html } = await readHeader(row.file).catch((error) => {
    throw error.isRefusal ? error : isNot(words("unread", { reason: error.message }));
  });
  if (!isMine(row)) throw new Stopped();
  if (row === rows[0]) {
    find("sheet").innerHTML = html;
    window.htmx?.process(find("sheet"));
    if (!isTaken) row.box.remove();
  } else if (!isTaken) {
    const why = new DOMParser().parseFromString(html, "text/html").querySelector(".findings");
    find("upload-findings", row.box).replaceChildren(...(why?.children ?? []));
    find("upload-findings", row.box).hidden = false;
  }
  if (!isTaken) throw isNot(words("refused"));
};

// What the checks found takes the place of what the header promised.
const showChecked = async () => {
  const ids = rows.map((row) => row.sending.upload?.id).filter(Boolean);
  if (!ids.length || !find("sheet").querySelector("form")) return;
  const mine = turn;
  const asked = new URLSearchParams(ids.map((id) => ["upload", id]));
  if (rows.some((row) => !row.upload && !row.isOver)) asked.set("more", "yes");
  const answer = await fetch(`${root.dataset.checked}?${asked}`).catch(() => null);
  if (!answer?.ok || answer.redirected || mine !== turn) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of page.querySelectorAll("[data-stored]")) {
    find("sheet").querySelector(`[data-stored=${part.dataset.stored}]`)?.replaceWith(part);
  }
};

const send = async (row) => {
  try {
    if (isWeights(row.file)) await look(row);
    for (const button of row.box.querySelectorAll("button")) button.hidden = false;
    row.upload = await row.sending.run();
  } catch (error) {
    if (error instanceof Stopped || !isMine(row)) return;
    row.fail(error);
  } finally {
    find("cancel", row.box).hidden = row.isOver && !row.sending.upload;
    showChecked();
    finish();
  }
};

// All of it accepted: the form knows the uploads, and is sent if that was wished for before.
const finish = () => {
  const form = find("sheet").querySelector("form");
  if (!form || !rows.length) return;
  const hasFailed = rows.some((row) => row.isOver);
  for (const button of buttons()) {
    button.disabled = hasFailed;
    if (hasFailed) button.removeAttribute("aria-busy");
  }
  const isReady = rows.every((row) => row.upload);
  find("ids").replaceChildren(...(isReady ? rows : []).map(({ upload }) => (
    Object.assign(document.createElement("input"), { type: "hidden", name: "upload", value: upload.id })
  )));
  if (isReady && form.dataset.pending) submit(form);
};

const submit = (form) => {
  form.elements.csrfmiddlewaretoken.value = token(form.elements.csrfmiddlewaretoken.value);
  form.submit();
};

const take = async (files) => {
  const weights = files.filter(isWeights).sort((one, other) => other.size - one.size);
  if (weights.length) clear();
  const mine = turn;
  const chosen = [...weights, ...files.filter((file) => !isWeights(file))]
    .map((file, n) => new Row(file, weights.length && n === 0));
  rows.push(...chosen);
  const hasWeights = rows.some((row) => isWeights(row.file));
  for (const row of chosen) {
    if (isPickle(row.file)) row.fail(isNot(words("pickle", { name: row.file.name })));
    else if (!hasWeights) row.fail(isNot(words("weightless")));
  }
  if (!hasWeights) return;
  const names = new Set();
  for (const row of rows) {
    const name = row.sending.name.toLowerCase();
    if (names.has(name)) row.fail(isNot(words("twice")));
    names.add(name);
  }
  for (const row of chosen) {
    if (row !== chosen[0] && !row.isOver) row.say(words("waits"), "waits");
  }
  for (const row of chosen) {
    const isHopeless = mine !== turn || rows[0].isOver;
    if (!isHopeless && isMine(row) && !row.isOver) await send(row);
  }
};

if (root) {
  const drop = root.querySelector(".drop");
  const input = drop.querySelector("input");
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file may be chosen again
    if (files.length) take(files);
  });
  for (const [type, isOver] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(type, () => drop.classList.toggle("over", isOver));
  }
  root.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.elements.upload) return;
    event.preventDefault();
    form.dataset.pending = "yes";
    form.querySelector("[data-publish-button]").setAttribute("aria-busy", "true");
  });
}
