"use strict";
// In the head, before anything is painted: the reader's choice, else what the system prefers.

const theme = {
  get isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  },

  choose(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem("influence-theme", name);
    } catch {
      // A browser may refuse storage to pages from disk; the choice then lasts as long as the page.
    }
  },

  restore() {
    try {
      const chosen = localStorage.getItem("influence-theme");
      if (chosen) document.documentElement.dataset.theme = chosen;
    } catch {
      // See above.
    }
  },

  /** A colour of the style sheet as rgb(), or with some opacity as rgba(). */
  color(name, opacity) {
    const swatch = document.createElement("span");
    swatch.style.color = `var(--${name})`;
    document.body.append(swatch);
    const { color } = getComputedStyle(swatch);
    swatch.remove();
    return opacity === undefined ? color : color.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
  },
};

theme.restore();
