// Publishing: headers are read first, the forms fill themselves, the bytes follow (sending.js).
// Files of one training run are one adapter; the user can choose otherwise.
import { OtherFile, Stopped, token } from "./sending.js";
import { Row, announce, find, isNot, root, size, words } from "./upload_row.js";

const MOST_HEAD = 16 * 1024 * 1024;

let rows = []; // in the order in which they are sent
let adapters = [];
let split = "runs";
let isPumping = false;
let sheets = 0;

const element = (name, more = {}) => Object.assign(document.createElement(name), more);
const stemOf = (file) => file.name.replace(/\.[^.]*$/, "").toLowerCase();

// What is published together: its files, and the form for them.
class Adapter {
  constructor() {
    this.box = find("adapter-box").content.firstElementChild.cloneNode(true);
    this.rows = [];
    this.isWanted = false; // Publish was pressed
    this.done = null;
  }

  get main() { return this.rows[0]; }
  get form() { return this.box.querySelector("form"); }
  get isOver() { return this.rows.some((row) => row.isOver); }
  get isOpen() { return Boolean(this.form && !this.isOver && !this.done); }
  get isReady() { return this.isOpen && this.rows.every((row) => row.upload); }
  get title() { return this.form?.elements.title?.value || this.form?.getAttribute("aria-label") || this.main.file.name; }
  get name() { return this.form?.elements.name?.value.trim() ?? ""; }
  get warnings() { return [...this.box.querySelectorAll("[data-findings] .redline, .note.redline:not([hidden])")]; }
  get isBaseOpen() { return this.form?.dataset.baseOpen !== undefined && !this.form.elements.family.value; }

  take(members) {
    const isOther = members.length !== this.rows.length;
    const isNew = this.main !== members[0] || (isOther && find("known", this.box));
    this.rows = members;
    const boxes = members.filter((row) => !row.isHidden).map((row) => row.box);
    const place = find("rows", this.box);
    if (boxes.length !== place.children.length || boxes.some((box, n) => box !== place.children[n])) place.replaceChildren(...boxes);
    if (isNew || (this.main.html && !find("sheet", this.box).firstChild)) this.show(this.main.html);
    if (isOther) showChecked(this);
  }

  // Files for different base models can hardly be one adapter.
  compareBases() {
    const [main, ...rest] = this.rows.filter((row) => row.bases.length);
    const other = rest.find((row) => !row.bases.some((one) => main.bases.includes(one)));
    const note = find("mixed", this.box);
    note.hidden = !other;
    if (!other) return;
    const facts = { name: main.file.name, base: main.baseNames, other: other.file.name, otherBase: other.baseNames };
    note.textContent = words("mixed", facts);
  }

  // Another form has the pictures that were chosen in the one before it.
  show(html) {
    const { files } = this.form?.elements.pictures ?? {};
    find("sheet", this.box).innerHTML = html;
    window.htmx?.process(find("sheet", this.box));
    const input = this.form?.elements.pictures;
    if (!files?.length || !input) return;
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true })); // their names are listed
  }
}

const adapterOf = (row) => adapters.find((one) => one.rows.includes(row));
const isMine = (row) => rows.includes(row);
const open = () => adapters.filter((one) => one.isOpen);

// Which files are one adapter.
const keyOf = (row) => {
  if (!row.run || split === "files") return row;
  return split === "one" || root.dataset.to ? "one" : row.run;
};

const homeOf = (row, groups) => {
  const withWeights = [...groups.values()].filter((members) => members[0].run);
  if (withWeights.length === 1) return withWeights[0];
  return withWeights.find((members) => members.some((one) => one.isWeights && stemOf(one.file) === stemOf(row.file)));
};

const arrange = () => {
  const groups = new Map();
  for (const row of rows.filter((one) => one.isWeights || one.isPickle)) {
    groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row]);
  }
  const isReading = rows.some((row) => row.isWeights && !row.isOver && !row.run);
  for (const row of rows.filter((one) => !one.isWeights && !one.isPickle)) {
    const home = homeOf(row, groups);
    row.isLost = row.bar.hidden = !home;
    if (home) home.push(row);
    else groups.set(row, [row]);
    if (row.isLost && !row.isOver && !isReading) row.say(words("whose"), "whose");
  }
  const before = adapters;
  adapters = [...groups.values()].map((members) => {
    members.sort((one, other) => other.isWeights - one.isWeights || other.file.size - one.file.size);
    const adapter = before.find((one) => one.main === members[0]) ?? new Adapter();
    adapter.take(members);
    return adapter;
  });
  for (const one of before) if (!adapters.includes(one)) one.box.remove();
  const place = find("adapters");
  for (const [n, { box }] of adapters.entries()) if (place.children[n] !== box) place.insertBefore(box, place.children[n] ?? null);
  for (const part of root.querySelectorAll("[data-intro], [data-waiting]")) part.hidden = adapters.length > 0;
  offerSplit();
  redraw();
};

const offerSplit = () => {
  const box = find("split");
  const weights = rows.filter((row) => row.run);
  const runs = new Set(weights.map((row) => row.run)).size;
  const files = weights.length;
  const choices = [["files", words("files", { n: files })], ["one", words("one")]];
  if (runs > 1 && runs < files) choices.unshift(["runs", words("runs", { n: runs })]);
  const alike = runs === 1 ? "one" : runs === files ? "files" : "runs";
  box.hidden = files < 2 || Boolean(root.dataset.to) || adapters.some((one) => one.done);
  const state = JSON.stringify(choices);
  if (box.dataset.state === state) return;
  box.dataset.state = state;
  find("split-title").textContent = words("split", { n: files });
  for (const label of box.querySelectorAll("label")) label.remove();
  box.append(...choices.map(([value, text]) => {
    const checked = value === (split === "runs" ? alike : split);
    const label = element("label", { className: "tick" });
    label.append(element("input", { type: "radio", name: "split", value, checked }), element("span", { textContent: text }));
    return label;
  }));
};

// The bar: what is sent, what is missing, and the button.
const redraw = () => {
  const here = adapters.filter((one) => one.form && !one.done);
  if (!rows.length) { // the form of an earlier upload is sent by the browser itself
    const form = root.querySelector("form[data-ok]");
    const text = find("bar-text");
    if (form && text.textContent.trim()) text.textContent = checkedText([form], !find("bar-warnings").hidden);
    return;
  }
  const button = find("publish-button");
  const mine = open();
  find("bar").hidden = !here.length;
  button.disabled = !mine.length;
  const isPending = mine.length > 0 && mine.every((one) => one.isWanted);
  if (isPending) button.setAttribute("aria-busy", "true");
  else button.removeAttribute("aria-busy");
  if (mine.length === 1) button.setAttribute("form", mine[0].form.id);
  else button.removeAttribute("form");
  button.textContent = mine.length > 1 ? words("publishSeveral", { n: mine.length }) : mine[0]?.form.dataset.label ?? button.textContent;
  for (const one of adapters) one.compareBases();
  const count = here.filter((one) => !one.isOver).flatMap((one) => one.warnings).length;
  const link = find("bar-warnings");
  const text = words(count > 1 ? "warnings" : "warning", { n: count });
  if (count && link.textContent !== text) announce(text);
  link.hidden = !count;
  link.textContent = count ? text : "";
  find("bar-text").textContent = barText(here, mine, isPending, count);
  for (const one of adapters) {
    const title = find("adapter-title", one.box);
    title.hidden = adapters.length < 2 || !one.form;
    if (title.textContent !== one.title) title.textContent = one.title;
  }
};

const checkedText = (forms, hasWarnings) => {
  const isUnlicensed = forms.some(({ elements: { licence, visibility } }) => licence?.value === "" && visibility.value !== "private");
  return words(isUnlicensed ? "barLicence" : hasWarnings ? "barChecked" : "barReady");
};

const barText = (here, mine, isPending, warnings) => {
  if (find("bar").dataset.problem) return find("bar").dataset.problem;
  const files = mine.flatMap((one) => one.rows);
  const sum = (of) => size(files.reduce((total, row) => total + of(row), 0));
  const facts = { sent: sum((row) => row.sent), total: sum((row) => row.file.size) };
  const isReady = mine.every((one) => one.isReady);
  if (isPending) return words(isReady ? "barPublishing" : "barPending", facts);
  const failed = here.find((one) => one.isOver);
  if (failed) return words("barFailed", { name: failed.title });
  if (here.some((one) => find("faults", one.box))) return words("barFaults");
  const unknown = mine.find((one) => one.isBaseOpen);
  if (unknown) return words("barBase", { name: unknown.title });
  return isReady ? checkedText(mine.map((one) => one.form), warnings) : words("barSending", facts);
};

const complain = (text) => {
  find("bar").dataset.problem = text;
  announce(text);
  redraw();
};

const leave = (row) => {
  rows = rows.filter((one) => one !== row);
  const rest = adapterOf(row)?.rows.filter((one) => one !== row) ?? [];
  if (!rest.some((one) => one.isWeights)) {
    for (const one of rest) one.sending.stop();
    rows = rows.filter((one) => !rest.includes(one));
  }
  announce(words("cancelled", { name: row.file.name }));
  arrange();
  if (!rows.length) find("bar").hidden = true;
  root.querySelector(".drop input").focus();
};

// The server reads the first bytes and sends back the form, or why the file is refused.
const readHeader = async (file, to) => {
  const first = await file.slice(0, 8).arrayBuffer();
  const length = first.byteLength === 8 ? Number(new DataView(first).getBigUint64(0, true)) : 0;
  const head = file.slice(0, Math.min(8 + length, MOST_HEAD));
  const asked = new URLSearchParams({ name: file.name, size: file.size, sheet: sheets += 1 });
  if (to !== null) asked.set("to", to); // else the hub proposes a new adapter or a version
  const headers = { "X-CSRFToken": token(root.dataset.token), "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${root.dataset.read}?${asked}`, { method: "POST", headers, body: head });
  if (answer.redirected) window.location.reload(); // the session ended: sign in again
  if (!answer.ok && answer.status !== 422) throw isNot(words("unread", { reason: `HTTP ${answer.status}` }));
  return { isTaken: answer.ok, html: await answer.text() };
};

const look = async (row) => {
  row.say(words("reading"), "reading");
  try {
    const { isTaken, html } = await readHeader(row.file, root.dataset.to || null);
    row.html = html;
    row.isHidden = !isTaken; // the reasons stand in its place
    row.isOver = !isTaken;
    if (isTaken) {
      const { run, baseNames } = new DOMParser().parseFromString(html, "text/html").querySelector("form").dataset;
      Object.assign(row, { run, baseNames, bases: run.split("|").slice(1).filter(Boolean) });
    } else announce(`${row.file.name}: ${words("refused")}`);
  } catch (error) {
    row.fail(error.isRefusal ? error : isNot(words("unread", { reason: error.message })));
  }
  if (!isMine(row)) return;
  arrange();
  if (!row.run) return;
  announce(words("filled", { name: row.file.name }));
  if (isPumping) row.say(words("waits"), "waits");
};

// The same file as a version of another adapter, or as a new one; what was typed is kept.
const lookAgain = async (adapter, to) => {
  const { isTaken, html } = await readHeader(adapter.main.file, to);
  if (!isTaken || !adapters.includes(adapter)) return;
  const isTyped = "typed" in adapter.form.dataset;
  const typed = [...adapter.form.elements].filter((one) => !["hidden", "file"].includes(one.type) && "defaultValue" in one && one.value !== one.defaultValue);
  adapter.main.html = html;
  adapter.show(html);
  if (isTyped) adapter.form.dataset.typed = "";
  for (const { name, value } of typed) {
    const field = adapter.form.elements[name];
    if (!field) continue;
    field.value = value;
    noteSource(field);
  }
  adapter.isWanted = false;
  showChecked(adapter);
  redraw();
  find("version-of", adapter.box)?.focus();
};

// The files are a version already: there is nothing to publish.
const showKnown = (adapter, html) => {
  adapter.show(html);
  adapter.isWanted = false;
  for (const row of adapter.rows) row.keep();
  announce(find("known", adapter.box).innerText);
};

// What the checks found takes the place of what the header promised.
const showChecked = async (adapter) => {
  const { form } = adapter;
  const ids = adapter.rows.map((row) => row.sending.upload?.id).filter(Boolean);
  if (!ids.length || !form) return;
  const asked = new URLSearchParams(ids.map((id) => ["upload", id]));
  asked.set("to", form.elements.to?.value ?? "");
  asked.set("sheet", form.elements.sheet.value);
  if (adapter.rows.some((row) => !row.upload && !row.isOver)) asked.set("more", "yes");
  const answer = await fetch(`${root.dataset.checked}?${asked}`).catch(() => null);
  if (!answer?.ok || answer.redirected || adapter.form !== form) return;
  const html = await answer.text();
  const page = new DOMParser().parseFromString(html, "text/html");
  if (find("known", page)) {
    showKnown(adapter, html);
    redraw();
    return;
  }
  for (const part of page.querySelectorAll("[data-stored]")) {
    form.querySelector(`[data-stored=${part.dataset.stored}]`)?.replaceWith(part);
  }
  const said = form.querySelector("[data-says=structure]");
  if (said) said.textContent = find("structure", form).textContent;
  redraw();
};

const send = async (row) => {
  row.isBegun = true;
  try {
    for (const button of row.box.querySelectorAll("button")) button.hidden = false;
    row.upload = await row.sending.run();
  } catch (error) {
    if (error instanceof Stopped || !isMine(row)) return;
    if (error instanceof OtherFile) {
      row.run = row.html = "";
      adapterOf(row).show("");
    }
    row.fail(error);
  } finally {
    const adapter = adapterOf(row);
    if (adapter) {
      await showChecked(adapter);
      redraw();
      publishReady();
    }
  }
};

// Files are sent one after the other.
const pump = async () => {
  if (isPumping) return;
  isPumping = true;
  const canBegin = (row) => !row.isOver && !row.isBegun && !row.isLost && (row.run || !row.isWeights);
  for (let row; (row = rows.find(canBegin)); ) await send(row);
  isPumping = false;
};

const take = async (files) => {
  const weights = files.filter((file) => /\.safetensors$/i.test(file.name));
  const names = new Set(files.map((file) => file.name.toLowerCase()));
  for (const row of rows) {
    const isReplaced = row.isOver || root.dataset.resume || names.has(row.file.name.toLowerCase());
    if (isReplaced && weights.length) row.sending.stop();
    row.isGone = isReplaced && weights.length;
  }
  rows = rows.filter((row) => !row.isGone && !adapterOf(row)?.done);
  if (!rows.length) find("adapters").replaceChildren();
  find("done").hidden = true;
  find("done-list").replaceChildren();
  delete find("bar").dataset.problem;
  const chosen = [...weights, ...files.filter((file) => !weights.includes(file))].map((file, n) => new Row(file, {
    given: weights.length && n === 0 ? root.dataset.resume : "", changed: redraw, cancelled: leave,
  }));
  const known = new Set(rows.map((row) => row.sending.name.toLowerCase()));
  rows.push(...chosen);
  const hasWeights = rows.some((row) => row.isWeights);
  for (const row of chosen) {
    const name = row.sending.name.toLowerCase();
    if (row.isPickle) row.refuse(words("pickle", { name: row.file.name }));
    else if (!hasWeights) row.refuse(words("weightless"));
    else if (known.has(name)) row.refuse(words("twice"));
    else row.say(words("waits"), "waits");
    known.add(name);
  }
  arrange();
  for (const row of chosen) {
    if (row.isWeights && !row.isOver && isMine(row)) {
      await look(row);
      pump();
    }
  }
  arrange();
  pump();
};

// Publishing: each adapter as soon as its files are accepted.
const want = () => {
  delete find("bar").dataset.problem;
  const named = new Map();
  for (const one of open().filter((adapter) => adapter.name)) {
    const key = one.name.toLowerCase();
    if (named.has(key)) {
      one.form.elements.name.focus();
      complain(words("barTwice", { name: one.name }));
      return;
    }
    named.set(key, one);
  }
  for (const one of open()) one.isWanted = true;
  redraw();
  announce(find("bar-text").textContent);
  publishReady();
};

let isPublishing = false;
const publishReady = async () => {
  if (isPublishing) return;
  isPublishing = true;
  for (let one; (one = adapters.find((adapter) => adapter.isWanted && adapter.isReady)); ) {
    await publish(one);
    if (one.done && adapters.length === 1) {
      window.location.assign(one.done.url);
      return;
    }
    if (one.done) showDone(one);
    redraw();
  }
  isPublishing = false;
  const isPending = open().some((one) => one.isWanted);
  if (!isPending && !find("done").hidden && !adapters.some((one) => find("faults", one.box))) find("done-title").focus();
};

const publish = async (adapter) => {
  const { form } = adapter;
  find("ids", form).replaceChildren(...adapter.rows.map(({ upload }) => (
    element("input", { type: "hidden", name: "upload", value: upload.id })
  )));
  const body = new FormData(form);
  body.set("csrfmiddlewaretoken", token(root.dataset.token));
  const headers = { Accept: "application/json" };
  const answer = await fetch(form.action, { method: "POST", body, headers }).catch(() => null);
  adapter.isWanted = false;
  if (answer?.redirected || answer?.status === 401 || answer?.status === 403) complain(words("barSignedOut"));
  else if (answer?.status === 201) adapter.done = await answer.json();
  else if (answer?.status === 200) showKnown(adapter, await answer.text());
  else if (answer?.status === 400) {
    adapter.show(await answer.text());
    find("faults", adapter.box)?.focus();
  } else complain(words("barSilent"));
};

// One of several is published: a link takes the place of its form.
const showDone = ({ box, done: { url, title, name, version, edit, pictures } }) => {
  const item = element("li", { className: "row g2" });
  item.append(element("a", { href: url, textContent: title }), element("span", { className: "tiny", textContent: ` ${name} ${version}` }));
  const more = [[edit, "doneEdit"], [pictures, "donePictures"]];
  item.append(...more.map(([href, text]) => element("a", { href, className: "btn", textContent: words(text) })));
  find("done-list").append(item);
  box.hidden = true;
  const count = adapters.filter((one) => one.done).length;
  find("done-title").textContent = words(count > 1 ? "doneSeveral" : "done", { n: count });
  find("done").hidden = false;
  find("split").hidden = true;
};

// A value that the user entered is not from the file, and an address may be from the title.
const noteSource = (field) => {
  const proof = field.closest(".evrow")?.querySelector(".proof");
  if (!proof || !["title", "name", "kind", "licence"].includes(field.name)) return;
  const options = [...field.options ?? []];
  const before = field.defaultValue ?? (options.find((one) => one.defaultSelected) ?? options[0]).value;
  proof.classList.toggle("own", "own" in proof.dataset || field.value !== before);
  proof.dataset.entered = words(field.name === "name" && !("typed" in field.form.dataset) ? "fromTitle" : "entered");
};

// The address follows an edited title until it was typed; with the first title, it is the first address.
const followTitle = ({ name, value, defaultValue, form }) => {
  if (name === "name") form.dataset.typed = "";
  const address = form?.elements.name;
  if (name !== "title" || !address || "typed" in form.dataset) return;
  const letters = value.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9._]+/g, "-");
  const slug = letters.replace(/-{2,}|\.{2,}/g, "-").slice(0, 96).replace(/^[-.]+|[-.]+$/g, "").toLowerCase();
  if (!slug) return;
  address.value = value === defaultValue ? address.defaultValue : slug;
  noteSource(address);
  address.dispatchEvent(new Event("follow")); // htmx asks whether it is available
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
  find("publish-button").addEventListener("click", (event) => {
    if (!rows.length) return;
    event.preventDefault();
    want();
  });
  root.addEventListener("submit", (event) => {
    if (!adapters.some((one) => one.form === event.target)) return;
    event.preventDefault();
    want();
  });
  find("bar-warnings").addEventListener("click", (event) => {
    event.preventDefault();
    const warning = root.querySelector("[data-findings] .redline, .note.redline:not([hidden])");
    for (const box of root.querySelectorAll("details")) if (box.contains(warning)) box.open = true;
    warning.tabIndex = -1;
    warning.focus({ preventScroll: true });
    warning.scrollIntoView({ block: "center" });
  });
  root.addEventListener("click", (event) => {
    const link = event.target.closest("[data-version-of]");
    const adapter = link && adapters.find((one) => one.box.contains(link));
    if (!adapter) return;
    event.preventDefault();
    lookAgain(adapter, link.dataset.versionOf);
  });
  // The line of the folded part says what is in it.
  root.addEventListener("input", ({ target }) => {
    if (target.name === "split") {
      split = target.value;
      arrange();
      return;
    }
    followTitle(target);
    noteSource(target);
    const said = target.form?.querySelector(`[data-says="${target.name}"]`);
    if (said) {
      said.dataset.read ??= said.textContent;
      said.textContent = target.value && target.selectedOptions ? target.selectedOptions[0].text : target.value || said.dataset.read;
    }
    delete find("bar").dataset.problem;
    redraw();
  });
}
