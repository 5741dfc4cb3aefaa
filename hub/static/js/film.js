// Videos of previews: they play while in view, unless reduced motion is preferred or somebody
// paused them. Nothing is loaded before. Without this file they have the browser's own controls.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const PLAYERS = "[data-film-player]";
const film = (player) => player.querySelector("video");

// The picture below is the poster: it is there already, and has the width that the page needs.
const play = (player) => {
  const video = film(player);
  video.poster ||= player.querySelector("picture img").currentSrc;
  video.play().catch(() => {}); // refused, or paused before it began
};

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.seen = isIntersecting;
    if (!isIntersecting) film(target).pause();
    else if (target.dataset.wanted ? target.dataset.wanted === "yes" : !still.matches) play(target);
  }
}, { rootMargin: "64px" });

const label = (player) => {
  const button = player.querySelector("button");
  const isPaused = film(player).paused;
  button.dataset.play ??= button.ariaLabel;
  button.ariaLabel = isPaused ? button.dataset.play : button.dataset.pause;
  button.classList.toggle("on", !isPaused);
};

const begin = (root) => {
  for (const player of root.querySelectorAll(`${PLAYERS}:not([data-seen])`)) {
    const video = film(player);
    video.controls = false;
    video.onplay = video.onpause = () => label(player);
    player.querySelector("button").hidden = false;
    player.dataset.seen = false;
    seen.observe(player);
  }
};

document.addEventListener("click", (e) => {
  const button = e.target.closest(`${PLAYERS} button`);
  if (!button) return;
  const player = button.closest(PLAYERS);
  player.dataset.wanted = film(player).paused ? "yes" : "no";
  if (film(player).paused) play(player);
  else film(player).pause();
});
still.addEventListener("change", () => {
  for (const video of document.querySelectorAll(`${PLAYERS} video`)) if (still.matches) video.pause();
});
// A section that is loaded again while previews are rendered keeps its players: videos play on.
document.addEventListener("htmx:before:morph:node", (e) => {
  const { oldNode, newNode } = e.detail;
  if (!oldNode.matches?.(PLAYERS) || !newNode.matches?.(PLAYERS)) return;
  if (film(oldNode).getAttribute("src") === film(newNode).getAttribute("src")) e.preventDefault();
});
document.addEventListener("htmx:after:swap", () => begin(document));
begin(document);
