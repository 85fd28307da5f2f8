"use strict";
// Which part is shown stands in the address, so that a link and the browser's way back lead to it.

const VIEWS = ["runs", "explorer", "card", "claims", "failures"];

function route() {
  const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const view = VIEWS.includes(name) ? name : "runs";
  for (const one of VIEWS) byId(`view-${one}`).hidden = one !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  hideTooltip();
  if (view === "explorer") {
    const shown = rest.length || !explorer.run ? rest : [explorer.run.experiment, explorer.run.hash];
    explorer.open(...shown).catch((error) => (byId("explorer-lead").textContent = error.message));
  } else {
    scrollTo(0, 0);
  }
}

function nameTheme() {
  byId("theme").textContent = theme.isDark ? "☀ Light" : "☾ Dark";
}

function recolor() {
  nameTheme();
  if (!explorer.matrix || byId("view-explorer").hidden) return;
  explorer.draw();
  drawHistogram(explorer.matrix.unit, explorer.counted);
}

byId("theme").addEventListener("click", () => {
  theme.choose(theme.isDark ? "light" : "dark");
  recolor();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
addEventListener("hashchange", route);
addEventListener("scroll", () => explorer.follow(), { passive: true });

showRuns();
showCards();
showClaims();
showFailures();
nameTheme();
route();
