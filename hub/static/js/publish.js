// Publishing: the header is read first, the form fills itself, the bytes follow in parts.
// Words come from the page (data-say-*), so they are translated there.
const root = document.querySelector("[data-publish]");
const find = (name) => root.querySelector(`[data-${name}]`);
const MOST_HEAD = 16 * 1024 * 1024;
const RETRY_MS = [1000, 2000, 4000, 8000, 15000];

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
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const time = (s) => (s < 90 ? `${Math.ceil(s)} s` : `${Math.ceil(s / 60)} min`);
const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");

class Refused extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "");
    this.findings = problem.findings ?? [];
  }
}
const api = async (method, url, body) => {
  const headers = { "X-CSRFToken": root.dataset.token, Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const told = await answer.json().catch(() => ({ detail: `HTTP ${answer.status}` }));
  if (answer.status >= 500) throw new TypeError(told.detail);
  if (!answer.ok) throw new Refused(told);
  return told;
};

class Sending {
  constructor(file) {
    this.file = file;
    this.key = `upload:${file.name}:${file.size}:${file.lastModified}`;
    this.sent = 0;
    this.isOver = false;
    this.isPaused = false;
  }

  say(name, facts = {}) {
    const all = { sent: size(this.sent), total: size(this.file.size), ...facts };
    find("upload-text").textContent = words(name, all);
    root.querySelector("progress").value = (100 * this.sent) / this.file.size;
  }

  // Nothing stops before the server has spoken: a dropped line is tried again, for ever.
  async steadily(act) {
    for (let tries = 0; !this.isOver; tries += 1) {
      try { return await act(); } catch (error) {
        if (error instanceof Refused) throw error;
        if (this.isPaused) { await this.resumed(); tries = 0; continue; }
        this.say("retry");
        await wait(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
      }
    }
    throw new Refused({ detail: "" });
  }

  async run() {
    this.upload = await this.steadily(() => this.known());
    localStorage.setItem(this.key, this.upload.urls.self);
    const here = new Set(this.upload.parts.map((part) => part.number));
    const { part_size: step } = this.upload;
    const count = this.upload.state === "receiving" ? Math.max(1, Math.ceil(this.file.size / step)) : 0;
    this.sent = this.upload.parts.reduce((sum, part) => sum + part.size, 0);
    this.began = { at: performance.now(), sent: this.sent };
    for (let n = 1; n <= count; n += 1) if (!here.has(n)) await this.part(n, step);
    this.sent = this.file.size;
    if (this.upload.state === "receiving") {
      this.upload = await this.steadily(() => api("POST", this.upload.urls.complete));
    }
    await this.checked();
  }

  async known() {
    const self = localStorage.getItem(this.key);
    if (self) {
      const known = await api("GET", self).catch((error) => {
        if (error instanceof Refused) return null;
        throw error;
      });
      if (known && ["receiving", "checking", "accepted"].includes(known.state)) return known;
    }
    return api("POST", root.dataset.uploads, { path: this.file.name, size: this.file.size });
  }

  async part(number, step) {
    const before = this.sent;
    const blob = this.file.slice((number - 1) * step, number * step);
    const headers = { "X-CSRFToken": root.dataset.token, "Content-Type": "application/octet-stream" };
    if (window.crypto.subtle) {
      headers["X-Part-SHA256"] = hex(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    }
    await this.steadily(async () => {
      this.sent = before;
      if (this.isPaused) await this.resumed();
      await this.put(this.upload.urls.part.replace("{number}", number), blob, headers, before);
    });
    this.sent = before + blob.size;
  }

  // XMLHttpRequest: fetch tells nothing of the progress of a body.
  put(url, blob, headers, before) {
    return new Promise((done, fail) => {
      const xhr = new XMLHttpRequest();
      this.xhr = xhr;
      xhr.open("PUT", url);
      for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
      xhr.upload.onprogress = (e) => { this.sent = before + e.loaded; this.pace(); };
      xhr.onerror = xhr.onabort = xhr.ontimeout = () => fail(new TypeError("line"));
      xhr.onload = () => {
        if (xhr.status < 300) return done();
        if (xhr.status >= 500) return fail(new TypeError("server"));
        let problem = {};
        try { problem = JSON.parse(xhr.response); } catch { problem.detail = `HTTP ${xhr.status}`; }
        return fail(new Refused(problem));
      };
      xhr.send(blob);
    });
  }

  pace() {
    if (this.isPaused) return;
    const seconds = (performance.now() - this.began.at) / 1000;
    const speed = (this.sent - this.began.sent) / seconds;
    if (seconds < 1 || !speed) { this.say("starting"); return; }
    this.say("sending", { speed: size(speed), left: time((this.file.size - this.sent) / speed) });
  }

  async checked() {
    while (this.upload.state === "checking") {
      const { done, total } = this.upload.progress;
      this.say("checking", { percent: total ? `${Math.floor((100 * done) / total)} %` : "…" });
      await wait(500);
      this.upload = await this.steadily(() => api("GET", this.upload.urls.self));
    }
    if (this.upload.state !== "accepted") throw new Refused({ findings: this.upload.findings });
    const digest = this.upload.sha256;
    this.say("accepted", { digest: `${digest.slice(0, 8)}…${digest.slice(-4)}` });
  }

  resumed() { return new Promise((done) => { this.goOn = done; }); }

  toggle() {
    this.isPaused = !this.isPaused;
    find("pause").querySelector("span").textContent = words(this.isPaused ? "resume" : "pause");
    if (this.isPaused) { this.xhr?.abort(); this.say("paused"); return; }
    this.began = { at: performance.now(), sent: this.sent };
    this.goOn?.();
  }

  stop() { this.isOver = true; this.xhr?.abort(); this.goOn?.(); }
}

let sending = null;

// The server reads the first bytes and sends back the form, or why the file is refused.
const readHeader = async (file) => {
  const first = await file.slice(0, 8).arrayBuffer();
  const length = first.byteLength === 8 ? Number(new DataView(first).getBigUint64(0, true)) : 0;
  const head = file.slice(0, Math.min(8 + length, MOST_HEAD));
  const asked = new URLSearchParams({ name: file.name, size: file.size, to: root.dataset.to });
  const headers = { "X-CSRFToken": root.dataset.token, "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${root.dataset.read}?${asked}`, { method: "POST", headers, body: head });
  if (answer.redirected) window.location.reload(); // the session ended: sign in again
  if (!answer.ok && answer.status !== 422) throw new Error(`HTTP ${answer.status}`);
  find("sheet").innerHTML = await answer.text();
  window.htmx?.process(find("sheet"));
  return answer.ok;
};

const showFindings = (findings) => {
  const list = find("upload-findings");
  list.replaceChildren(...findings.filter((f) => f.severity === "error").map((finding) => {
    const item = document.createElement("li");
    const level = Object.assign(document.createElement("span"), { className: "cap redline", textContent: words("refused") });
    item.append(level, Object.assign(document.createElement("b"), { textContent: finding.message }));
    return item;
  }));
  list.hidden = !list.children.length;
};

const take = async (file) => {
  sending?.stop();
  const mine = new Sending(file);
  sending = mine;
  find("upload").hidden = false;
  find("upload-name").textContent = file.name;
  find("sheet").replaceChildren();
  showFindings([]);
  find("upload-text").textContent = words("reading");
  root.querySelector("progress").value = 0;
  try {
    if (!await readHeader(file)) { find("upload").hidden = true; return; }
  } catch (error) {
    find("upload-text").textContent = words("unread", { reason: error.message });
    return;
  }
  find("pause").hidden = false;
  try {
    await mine.run();
    const form = find("sheet").querySelector("form");
    form.elements.upload.value = mine.upload.id;
    if (form.dataset.pending) form.submit();
  } catch (error) {
    if (mine !== sending) return;
    showFindings(error.findings ?? []);
    find("upload-text").textContent = words("failed", { reason: error.message });
    for (const button of root.querySelectorAll("[data-publish-button]")) {
      button.removeAttribute("aria-busy");
      button.disabled = true;
    }
    localStorage.removeItem(mine.key);
  } finally {
    if (mine === sending) find("pause").hidden = true;
  }
};

if (root) {
  const drop = root.querySelector(".drop");
  const input = drop.querySelector("input");
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); });
  for (const [type, isOver] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(type, () => drop.classList.toggle("over", isOver));
  }
  find("pause").addEventListener("click", () => sending?.toggle());
  root.addEventListener("submit", (e) => {
    const form = e.target;
    if (form.elements.upload.value) return;
    e.preventDefault();
    form.dataset.pending = "yes";
    form.querySelector("[data-publish-button]").setAttribute("aria-busy", "true");
  });
}
