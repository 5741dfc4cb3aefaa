// One file on its way to the hub, in parts: what is there already is not sent again.
// No words in here: whoever shows it gets a name and facts.
const AT_ONCE = 3;
const TRIES = 3; // of a part that arrives damaged
const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
// A file up to this size is read into memory at once, to tell the hub its digest.
const MOST_WHOLE = (navigator.deviceMemory >= 8 ? 512 : 128) * 1024 * 1024;
const PACE_MS = 8000;
const OPEN = ["receiving", "checking", "accepted"];
const PASSING = new Set([408, 429, 500, 502, 503, 504, 507]);
const subtle = globalThis.crypto?.subtle; // absent where the page itself came unencrypted

export class Problem extends Error {
  constructor(status, answer, retryAfter) {
    super(answer.detail ?? answer.title ?? `HTTP ${status}`);
    Object.assign(this, { status, code: answer.code ?? "", facts: answer, findings: answer.findings ?? [] });
    this.waitMs = 1000 * (Number.parseInt(retryAfter, 10) || 0);
  }
}
export class Dropped extends Error {}
export class Stopped extends Error {}
export class OtherFile extends Error {}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const hashed = async (blob) => [...new Uint8Array(await subtle.digest("SHA-256", await blob.arrayBuffer()))]
  .map((byte) => byte.toString(16).padStart(2, "0")).join("");
// This module is its own worker: the page stays responsive while megabytes are read.
if (!globalThis.document) {
  globalThis.onmessage = async ({ data, ports: [port] }) => port.postMessage(await hashed(data).catch(() => ""));
}
let worker;
const inWorker = (blob) => new Promise((done, fail) => {
  const used = worker ??= new Worker(import.meta.url, { type: "module" });
  const { port1, port2 } = new MessageChannel();
  const broken = () => {
    if (worker === used) worker = undefined; // it would never answer again
    port1.close();
    fail();
  };
  used.addEventListener("error", broken, { once: true });
  port1.onmessage = ({ data }) => {
    used.removeEventListener("error", broken);
    port1.close();
    if (data) done(data);
    else fail();
  };
  used.postMessage(blob, [port2]);
});
// Without a worker, or if the file cannot be read: the error is then that of reading.
const digest = (blob) => inWorker(blob).catch(() => hashed(blob));
// The hub may know itself by another name than this page does.
const local = (url) => new URL(url, location.href).pathname;
// Read anew each time: whoever signs in again in another tab gets another one.
export const token = (given) => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? given;

// A part without a digest went past the hub (docs/api.md): it may be of any file, and is sent again.
const knownParts = (upload) => upload.parts.filter((part) => part.sha256);
const bytesOf = (parts) => parts.reduce((sum, part) => sum + part.size, 0);

// XMLHttpRequest: fetch tells nothing of the progress of a body.
const ask = (method, url, { body, headers = {}, began = () => {}, sent = () => {}, csrf } = {}) => (
  new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    began(xhr);
    xhr.open(method, url);
    for (const [name, value] of Object.entries({ Accept: "application/json", "X-CSRFToken": token(csrf), ...headers })) {
      xhr.setRequestHeader(name, value);
    }
    xhr.upload.onprogress = (event) => sent(event.loaded);
    xhr.onerror = xhr.onabort = xhr.ontimeout = () => fail(new Dropped());
    xhr.onload = () => {
      let answer = {};
      try { answer = JSON.parse(xhr.response); } catch { /* a proxy's own page */ }
      const isElsewhere = local(xhr.responseURL) !== local(url); // sent to sign in
      if (xhr.status >= 200 && xhr.status < 300 && !isElsewhere) done(answer);
      else fail(new Problem(isElsewhere ? 401 : xhr.status, answer, xhr.getResponseHeader("Retry-After")));
    };
    xhr.send(body ?? null);
  })
);

export class Sending {
  // given: address of the upload to go on with; found out when left out.
  constructor(file, { uploads, find, csrf, given, tell }) {
    Object.assign(this, { file, uploads, find, csrf, given, tell });
    this.name = file.name.normalize("NFC");
    this.key = `upload:${file.name}:${file.size}:${file.lastModified}`;
    this.here = 0; // bytes in parts that the hub has
    this.flying = new Map(); // part → { xhr, bytes }
    this.paces = [];
    this.isPaused = this.isStopped = this.isTroubled = false;
    this.failure = null;
    this.nudges = new Set();
  }

  get sent() { return [...this.flying.values()].reduce((sum, part) => sum + part.bytes, this.here); }

  json(method, url, data) {
    const headers = data ? { "Content-Type": "application/json" } : {};
    return ask(method, url, { body: data && JSON.stringify(data), headers, csrf: this.csrf });
  }

  async run() {
    try {
      this.upload = await this.begun();
      localStorage.setItem(this.key, this.upload.id);
      for (let tries = 1; this.upload.state === "receiving"; tries += 1) await this.pass(tries);
      while (this.upload.state === "checking") {
        this.tell("checking", this.upload.progress);
        await sleep(500);
        this.upload = await this.steadily(() => this.fresh());
      }
      if (this.upload.state !== "accepted") throw new Problem(422, this.upload);
      this.here = this.file.size;
      this.tell("accepted", { digest: this.upload.sha256 });
      return this.upload;
    } finally {
      this.stop();
    }
  }

  fresh() { return this.json("GET", local(this.upload.urls.self)); }

  // Sends what is missing, and says that it is all there.
  async pass(tries) {
    try {
      await this.parts();
      this.upload = await this.steadily(() => this.json("POST", local(this.upload.urls.complete)));
    } catch (error) {
      if (error.code === "upload_incomplete" && tries < TRIES) this.upload = await this.steadily(() => this.fresh());
      else if (error.code === "wrong_state") await this.ended(error);
      else throw error;
    }
  }

  // Another window may have finished it; an expired or cancelled one is reported as such.
  async ended(error) {
    this.upload = await this.steadily(() => this.fresh());
    if (!["checking", "accepted"].includes(this.upload.state)) throw error;
  }

  async begun() {
    this.tell("starting");
    const whole = subtle && this.file.size <= MOST_WHOLE ? await digest(this.file) : null;
    if (this.given) {
      const upload = await this.steadily(() => this.json("GET", this.given));
      if (upload.path !== this.name || upload.size !== this.file.size || !(await this.matches(upload, whole))) throw new OtherFile();
      return upload;
    }
    const query = new URLSearchParams({ name: this.name, size: this.file.size });
    const { uploads } = await this.steadily(() => this.json("GET", `${this.find}?${query}`));
    for (const url of uploads) {
      const upload = await this.steadily(() => this.json("GET", url));
      if (OPEN.includes(upload.state) && await this.matches(upload, whole)) return upload;
    }
    const data = { path: this.name, size: this.file.size, sha256: whole };
    return this.steadily(() => this.json("POST", this.uploads, data));
  }

  // Whether what is there is of this very file; without WebCrypto only this browser's word tells.
  async matches(upload, whole) {
    if (upload.sha256 && whole) return upload.sha256 === whole;
    if (!subtle) return localStorage.getItem(this.key) === upload.id;
    const known = knownParts(upload);
    const bytes = bytesOf(known);
    if (upload.state !== "receiving" && bytes < upload.size) return false; // it did not come in parts
    let done = 0;
    for (const part of known) {
      await this.clearance();
      this.tell("comparing", { done, total: bytes });
      if (await digest(this.slice(part.number, upload)) !== part.sha256) return false;
      done += part.size;
    }
    return true;
  }

  slice(number, { part_size: step } = this.upload) { return this.file.slice((number - 1) * step, number * step); }

  async parts() {
    const known = knownParts(this.upload);
    const there = new Set(known.map((part) => part.number));
    this.here = bytesOf(known);
    this.paces = [];
    const count = Math.max(1, Math.ceil(this.file.size / this.upload.part_size));
    const missing = Array.from({ length: count }, (_, n) => n + 1).filter((n) => !there.has(n)).values();
    if (this.here) this.tell("resumed", { here: this.here });
    const work = async () => {
      for (const number of missing) {
        if (this.failure) return;
        try { await this.part(number); } catch (error) { this.fail(error); }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const { failure } = this;
    this.failure = null;
    if (failure) throw failure;
  }

  // One part that cannot be sent ends the others under way.
  fail(error) {
    this.failure ??= error;
    this.drop();
    this.nudge();
  }

  async part(number) {
    const body = this.slice(number); // the browser reads it without a copy in the page
    const headers = { "Content-Type": "application/octet-stream" };
    if (subtle) headers["X-Part-SHA256"] = await digest(body);
    const url = `${local(this.upload.urls.self)}/parts/${number}`;
    for (let tries = 1; ; tries += 1) {
      try {
        await this.steadily(() => this.put(number, url, body, headers));
        this.here += body.size;
        return;
      } catch (error) {
        if (error.code !== "digest_mismatch" || tries === TRIES) throw error;
      }
    }
  }

  async put(number, url, body, headers) {
    const part = { bytes: 0 };
    this.flying.set(number, part);
    const sent = (bytes) => { part.bytes = bytes; this.pace(); };
    try {
      await ask("PUT", url, { body, headers, sent, csrf: this.csrf, began: (xhr) => { part.xhr = xhr; } });
    } catch (error) {
      if (error instanceof Dropped) await body.slice(0, 1).arrayBuffer(); // throws if the file is gone or changed
      throw error;
    } finally {
      this.flying.delete(number);
    }
  }

  pace() {
    if (this.isTroubled) return;
    const now = performance.now();
    const { sent } = this;
    this.paces.push([now, sent]);
    while (now - this.paces[0][0] > PACE_MS) this.paces.shift();
    const [at, before] = this.paces[0];
    const speed = (1000 * (sent - before)) / (now - at);
    const isKnown = now - at > 1000 && speed > 0;
    this.tell("sending", isKnown ? { speed, left: (this.file.size - sent) / speed } : {});
  }

  // Tries again for as long as trying may help; everything else is thrown.
  async steadily(act) {
    for (let tries = 0; ; tries += 1) {
      await this.clearance();
      try {
        const answer = await act();
        this.isTroubled = false;
        return answer;
      } catch (error) {
        if (this.isStopped) throw new Stopped();
        if (this.failure) throw this.failure;
        if (this.isPaused) { tries = -1; continue; }
        if (error.status === 401 || error.code === "csrf_failed") { this.pause("signedOut"); continue; }
        if (!(error instanceof Dropped || PASSING.has(error.status) || error.code === "conflict")) throw error;
        await this.rest(error, tries);
      }
    }
  }

  async rest(error, tries) {
    const isOffline = error instanceof Dropped && !navigator.onLine;
    const grown = Math.min(LONGEST_MS, FIRST_MS * 2 ** tries) * (0.75 + Math.random() / 2);
    const ms = isOffline ? LONGEST_MS : Math.max(grown, Math.min(error.waitMs ?? 0, 2 * LONGEST_MS));
    this.paces = [];
    this.isTroubled = true; // until something arrives, what is under way is no news
    this.tell(isOffline ? "offline" : { 507: "full", 429: "busy", 503: "busy" }[error.status] ?? "retry", { ms });
    await this.nudged(ms);
  }

  // Ends when the time is over, or at once when the network is back or a button was pressed.
  nudged(ms) {
    return new Promise((done) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        this.nudges.delete(end);
        done();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
      this.nudges.add(end);
    });
  }

  async clearance() {
    while (this.isPaused && !this.isStopped && !this.failure) await this.nudged(2 ** 30);
    if (this.isStopped) throw new Stopped();
    if (this.failure) throw this.failure;
  }

  nudge() { for (const end of [...this.nudges]) end(); }
  drop() { for (const { xhr } of [...this.flying.values()]) xhr?.abort(); }

  pause(why = "paused") {
    this.isPaused = true;
    this.drop();
    this.tell(why);
  }

  resume() {
    this.isPaused = this.isTroubled = false;
    this.paces = [];
    this.tell("starting");
    this.nudge();
  }

  stop() {
    this.isStopped = true;
    this.drop();
    this.nudge();
  }

  // Nothing of it is kept, here or at the hub.
  async cancel() {
    const self = this.upload?.urls.self;
    this.stop();
    localStorage.removeItem(this.key);
    if (self) await this.json("DELETE", local(self));
  }
}
