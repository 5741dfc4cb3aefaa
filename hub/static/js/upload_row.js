// One file on the publish page: its progress, its buttons, what became of it.
// Words come from the page (data-say-*), so they are translated there.
import { OtherFile, Sending } from "./sending.js";

export const root = document.querySelector("[data-publish]");
export const find = (name, within = root) => within.querySelector(`[data-${name}]`);
export const words = (name, facts = {}) => {
  const key = `say${name[0].toUpperCase()}${name.slice(1)}`;
  return root.dataset[key].replace(/\{(\w+)\}/g, (_, fact) => facts[fact] ?? "");
};
export const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (bytes >= 1000 && step < 4) { bytes /= 1000; step += 1; }
  return `${bytes.toFixed(step && bytes < 100 ? 1 : 0)} ${units[step]}`;
};
export const isNot = (message) => Object.assign(new Error(message), { isRefusal: true });
export const announce = (text) => { find("live").textContent = text; };

const REDRAW_MS = 250;
const time = (s) => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.ceil(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

const ADVICE = { quota_exceeded: "room", validation_failed: "room", too_large: "smaller", wrong_state: "anew" };
const reasonOf = (error) => {
  if (error instanceof OtherFile) return words("other");
  if (error.name === "NotReadableError" || error.name === "NotFoundError") return words("changed");
  if (error.isRefusal) return error.message;
  const advice = ADVICE[error.code];
  const reason = error.findings?.find((found) => found.severity === "error")?.message ?? error.message;
  return [words("failed", { reason }), advice && words(advice)].filter(Boolean).join(" ");
};

// What the page was opened for has begun, so it says no more that it waits.
const goesOn = () => {
  if (!root.dataset.resume) return;
  delete root.dataset.resume;
  find("begun").remove();
  root.querySelector(".drop label").textContent = words("drop");
};

export class Row {
  // changed: called when something about the file changes; cancelled: when the user took it back.
  constructor(file, { given, changed, cancelled }) {
    Object.assign(this, { file, changed, cancelled });
    this.isWeights = /\.safetensors$/i.test(file.name);
    this.isPickle = root.dataset.pickles.split(" ").includes(file.name.split(".").pop().toLowerCase());
    this.isOver = this.isBegun = false;
    this.html = this.run = ""; // the form for it, and the training run that it is of
    this.bases = []; // base models that it fits
    this.box = find("row").content.firstElementChild.cloneNode(true);
    find("upload-name", this.box).textContent = file.name;
    this.bar = this.box.querySelector("progress");
    this.bar.setAttribute("aria-label", file.name);
    for (const name of this.box.querySelectorAll("[data-of]")) name.textContent = ` ${file.name}`;
    find("pause", this.box).addEventListener("click", () => this.toggle());
    find("cancel", this.box).addEventListener("click", () => this.cancel());
    const { uploads, find: where, token: csrf } = root.dataset;
    this.sending = new Sending(file, { uploads, find: where, csrf, given, tell: (name, facts) => this.tell(name, facts) });
    this.drawnAt = 0;
    this.announced = "";
  }

  get sent() { return this.upload ? this.file.size : Math.min(this.sending.sent, this.file.size); }

  // Every word is shown; listeners hear of changes, and of every tenth of the way.
  tell(name, facts = {}) {
    if (name === this.name && name !== "waiting" && performance.now() - this.drawnAt < REDRAW_MS) return;
    this.drawnAt = performance.now();
    this.name = name;
    const share = this.file.size ? (100 * this.sent) / this.file.size : 100;
    const said = name === "sending" && !facts.speed ? "sent" : name;
    this.say(words(said, {
      sent: size(this.sent),
      total: size(this.file.size),
      here: size(facts.here ?? 0),
      speed: size(facts.speed ?? 0),
      left: time(facts.left ?? 0),
      wait: time((facts.ms ?? 0) / 1000),
      percent: facts.total ? `${Math.floor((100 * facts.done) / facts.total)}%` : "…",
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
    this.changed();
  }

  say(text, news) {
    find("upload-text", this.box).textContent = text;
    if (news === this.announced) return;
    this.announced = news;
    announce(`${this.file.name}: ${text}`);
  }

  toggle() {
    if (this.sending.isPaused) this.sending.resume();
    else this.sending.pause();
  }

  // The hub keeps the file: the button only takes it off this page.
  keep() {
    this.isKept = true;
    find("cancel", this.box).hidden = false;
    find("cancel", this.box).querySelector("span").textContent = words("remove");
  }

  async cancel() {
    if (!this.isKept) {
      if (!this.isOver && !window.confirm(words("sure", { name: this.file.name }))) return;
      try {
        await this.sending.cancel();
      } catch (error) {
        if (!this.isOver) {
          this.keep();
          this.say(words("kept", { reason: error.message }), "kept");
          return;
        }
      }
    }
    this.cancelled(this);
  }

  // Nothing of the file is sent.
  refuse(reason) {
    find("refused", this.box).hidden = false;
    this.keep();
    this.fail(isNot(reason));
  }

  fail(error) {
    this.isOver = true;
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
    find("cancel", this.box).hidden = false;
    this.bar.hidden = !this.bar.value;
    this.changed();
  }
}
