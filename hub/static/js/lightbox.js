// Pictures and videos large, over the page, with their settings. Without this file their links
// open them.
const box = document.getElementById("lightbox");
const img = box.querySelector("img");
const video = box.querySelector("video");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const about = box.querySelector("[data-about]");
const toast = document.querySelector(".toast");
let items = [];
let at = 0;

const stop = () => {
  video.removeAttribute("src");
  video.load();
};

const show = (index) => {
  at = (index + items.length) % items.length;
  const { src, alt, poster, notes } = items[at];
  img.hidden = Boolean(poster);
  video.hidden = !poster;
  stop();
  if (poster) {
    Object.assign(video, { src, poster, autoplay: !still.matches });
    video.setAttribute("aria-label", alt);
  } else Object.assign(img, { src, alt });
  about.replaceChildren(...notes());
  box.querySelector("[data-count]").textContent = `${at + 1} / ${items.length}`;
  for (const button of box.querySelectorAll("[data-step]")) button.hidden = items.length < 2;
};

// A picture of the gallery: its caption, and what its metadata claims.
const ofGallery = (link) => ({
  link,
  src: link.href,
  alt: link.querySelector("img:not(.blur)").alt,
  poster: link.querySelector("[data-film]")?.src,
  notes: () => [...link.closest("figure")
    .querySelectorAll(":is(.cap, .label), .why > :not(summary)")].map((node) => node.cloneNode(true)),
});

// A video of the previews: its figure's caption, and the prompt of its row.
const ofFilm = (player) => ({
  link: player,
  src: player.querySelector("video").src,
  alt: player.querySelector("picture img").alt,
  poster: player.querySelector("picture img").currentSrc || player.querySelector("picture img").src,
  notes: () => [player.closest("figure").querySelector("figcaption"), player.closest("[data-row]").querySelector("[data-prompt]")]
    .map((node) => node.cloneNode(true)),
});

// A frame of the sweep: the settings are those of all frames, but for the strength.
const ofSweep = (frame) => ({
  link: frame,
  src: frame.dataset.full,
  alt: frame.dataset.alt,
  notes: () => {
    // Imported, because links of the template's own document have no address.
    const part = document.importNode(document.querySelector("[data-about-sweep]").content, true);
    part.querySelector("[data-strength]").textContent = `${frame.dataset.strength}, ${frame.title}`;
    const recipe = part.querySelector("a[data-use-recipe]");
    if (recipe) {
      const url = new URL(recipe.href);
      url.searchParams.set("strength", frame.dataset.dial);
      recipe.href = url;
    }
    return [...part.children];
  },
});

const open = (found, first) => {
  items = found;
  show(Math.max(0, items.findIndex((item) => item.link === first)));
  box.append(toast); // what lies outside of an open dialog is inert and covered
  box.showModal();
};

document.addEventListener("click", (e) => {
  const link = e.target.closest("a[data-light]");
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
  e.preventDefault();
  const frames = [...document.querySelectorAll("[data-sweep] .frame button")];
  if (link.dataset.light === "films") {
    const players = [...document.querySelectorAll("#films [data-film-player]")];
    open(players.map(ofFilm), [...link.closest("[data-row]").querySelectorAll("[data-film-player]")].at(-1));
  } else if (link.dataset.light === "sweep") {
    open(frames.map(ofSweep), frames.find((frame) => frame.getAttribute("aria-current") === "true"));
  } else {
    open([...document.querySelectorAll("#prints a[data-light]")].map(ofGallery), link);
  }
});
box.addEventListener("click", (e) => {
  const step = e.target.closest("[data-step]");
  if (step) show(at + Number(step.dataset.step));
  else if (e.target === box) box.close();
});
box.addEventListener("keydown", (e) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (step && items.length > 1) { e.preventDefault(); show(at + step); }
});
box.addEventListener("close", () => {
  img.src = "data:,";
  stop();
  document.body.append(toast);
});
