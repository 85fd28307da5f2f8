"use strict";
// What the runs came to: desiderata cards, the paper's claims, and what failed.

const SHAPES = {
  satisfied: (x, y) => drawing("circle", { cx: x, cy: y, r: 4 }),
  violated: (x, y) => drawing("path", { d: `M${x - 4},${y - 4}l8,8m0,-8l-8,8`, class: "stroke" }),
  undecided: (x, y) => drawing("circle", { cx: x, cy: y, r: 3.5, class: "hollow" }),
  void: (x, y) => drawing("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7, class: "hollow" }),
  descriptive: (x, y) => drawing("path", { d: `M${x},${y - 4}l4,4l-4,4l-4,-4z`, class: "hollow" }),
};

function showCards() {
  byId("card-legend").replaceChildren(
    ...Object.keys(SHAPES).map((verdict) => {
      const mark = drawing(
        "svg",
        { width: 16, height: 12, class: `verdict ${verdict}`, "aria-hidden": "true" },
        SHAPES[verdict](8, 6),
      );
      return element("li", {}, mark, verdict);
    }),
  );
  const shown = report.cards.map(cardPanel);
  byId("cards").replaceChildren(
    ...(shown.length ? shown : [element("p", { class: "empty" }, "No run of this report is scored by criteria yet.")]),
  );
}

function cardPanel(card) {
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Desideratum and scores"),
    element("th", { scope: "col" }, "Good"),
    ...card.estimators.map((name) => element("th", { scope: "col" }, name)),
  );
  const lines = [];
  const width = card.estimators.length > 2 ? 180 : 240;
  for (const row of unique(card.scores.map((one) => one.row))) {
    const part = card.scores.filter((one) => one.row === row);
    const verdicts = card.estimators.map((name) => part.find((one) => one.estimator === name)?.overall);
    lines.push(
      element(
        "tr",
        { class: "head" },
        element("th", { scope: "rowgroup", colspan: 2 }, row.replaceAll("_", " ")),
        ...verdicts.map((verdict) => element("td", {}, verdict ? chip(verdict) : "not measured")),
      ),
    );
    for (const name of unique(part.map(conditioned))) {
      const cells = part.filter((one) => conditioned(one) === name);
      const [first] = cells;
      const good = `${first.better === "higher" ? ">" : "<"} ${Number(first.threshold.toPrecision(3))}`.replace(
        "-",
        "−",
      );
      const range = rangeOf(cells);
      lines.push(
        element(
          "tr",
          {},
          element("th", { scope: "row", class: "code" }, name),
          element("td", { class: "nowrap" }, good),
          ...card.estimators.map((estimator) => {
            const cell = cells.find((one) => one.estimator === estimator);
            return element("td", {}, cell ? forest(cell, range, width) : null);
          }),
        ),
      );
    }
  }
  const experiments = unique(card.scores.map((one) => one.experiment)).join(", ");
  return element(
    "section",
    { class: "card" },
    element("h2", {}, `${card.title} `, element("span", { class: "origin" }, card.origin)),
    element(
      "div",
      { class: "panel scroll" },
      element(
        "table",
        { class: "forest" },
        element("caption", {}, `Desiderata card of ${card.title}`),
        element("thead", {}, head),
        element("tbody", {}, ...lines),
      ),
    ),
    card.notes.length
      ? element("ul", { class: "notes" }, ...card.notes.map((note) => element("li", {}, note)))
      : element("p", { class: "hint" }, `Measured in ${experiments}.`),
  );
}

/** What the axis of a score spans, in all columns: intervals, threshold, and a margin. */
function rangeOf(cells) {
  const values = cells
    .flatMap((one) => [one.value, one.low, one.high, one.threshold])
    .filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.08 * (high - low || 1);
  return [low - margin, high + margin];
}

const FOREST_HEIGHT = 18;

function forest(cell, [low, high], width) {
  const text = interval(cell);
  if (cell.value === null) return element("span", { class: "hint" }, text);
  const at = (value) => ((value - low) / (high - low)) * width;
  const middle = FOREST_HEIGHT / 2;
  const limit = at(cell.threshold);
  const good = cell.better === "higher" ? [limit, width] : [0, limit];
  const parts = [
    drawing("rect", {
      x: good[0],
      y: 0,
      width: Math.max(0, good[1] - good[0]),
      height: FOREST_HEIGHT,
      class: "good-side",
    }),
    drawing("line", { x1: limit, x2: limit, y1: 0, y2: FOREST_HEIGHT, class: "threshold" }),
  ];
  if (cell.low !== null)
    parts.push(drawing("line", { x1: at(cell.low), x2: at(cell.high), y1: middle, y2: middle, class: "stroke" }));
  parts.push(SHAPES[cell.verdict]?.(at(cell.value), middle) ?? SHAPES.descriptive(at(cell.value), middle));
  const picture = drawing(
    "svg",
    {
      width,
      height: FOREST_HEIGHT,
      class: `verdict ${cell.verdict}`,
      role: "img",
      "aria-label": `${text}, ${cell.verdict}`,
    },
    ...parts,
  );
  return element(
    "div",
    { class: "estimate", title: cell.note || null },
    picture,
    element("span", { class: "figures" }, text),
  );
}

function showClaims() {
  const [first] = report.ledger;
  if (!first) {
    byId("claim-table").replaceChildren(
      element("p", { class: "empty" }, "The published runs are not part of this report."),
    );
    return;
  }
  const columns = Object.keys(first).filter(
    (name) => !["claim", "where", "statistic", "experiment", "holds"].includes(name),
  );
  const head = ["Claim, and what speaks to it", "Experiment", "Holds where", ...columns].map((name) =>
    element("th", { scope: "col" }, name),
  );
  const lines = report.ledger.map((row) =>
    row.statistic
      ? element(
          "tr",
          {},
          element("th", { scope: "row", class: "code" }, row.statistic),
          element("td", {}, row.experiment),
          element("td", { class: "nowrap" }, row.holds),
          ...columns.map((name) => element("td", { class: "figures" }, row[name])),
        )
      : element(
          "tr",
          { class: "head" },
          element(
            "th",
            { scope: "rowgroup", colspan: 3 },
            `${row.claim} `,
            element("span", { class: "origin" }, row.where),
          ),
          ...columns.map((name) => element("td", {}, row[name] ? chip(row[name]) : "")),
        ),
  );
  byId("claim-table").replaceChildren(
    element(
      "table",
      { class: "claims" },
      element("caption", {}, "Claims of the paper"),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...lines),
    ),
  );
}

function showFailures() {
  const runs = report.runs.filter((run) => NOT_FINISHED.includes(run.status));
  const probes = report.runs.filter((run) => Object.keys(run.failures ?? {}).length);
  byId("failure-count").textContent = runs.length + probes.length || "";
  const parts = [
    ...runs.map((run) =>
      element(
        "article",
        { class: "panel failure" },
        element("h2", {}, chip(run.status), " ", element("span", { class: "code" }, run.place)),
        element(
          "p",
          { class: "hint" },
          [run.model, run.data, run.estimator, run.step, run.started?.slice(0, 10)].filter(Boolean).join(" · "),
        ),
        element("p", { class: "error" }, run.error ?? "No error was written."),
        run.traceback
          ? element("details", {}, element("summary", {}, "Traceback"), element("pre", {}, run.traceback))
          : null,
      ),
    ),
    ...probes.map((run) => failedProbes(run, Object.entries(run.failures))),
  ];
  byId("failure-list").replaceChildren(
    ...(parts.length
      ? parts
      : [element("p", { class: "panel empty" }, "Every run finished, and every probe was measured.")]),
  );
}

function failedProbes(run, failed) {
  const rows = failed.map(([id, reason]) => element("li", {}, element("span", { class: "code" }, id), `: ${reason}`));
  return element(
    "article",
    { class: "panel failure" },
    element(
      "h2",
      {},
      `${failed.length} failed ${failed.length === 1 ? "probe" : "probes"} in `,
      element("a", { href: pathOf(run), class: "code" }, run.place),
    ),
    element("ul", {}, ...rows),
  );
}
