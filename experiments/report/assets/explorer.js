"use strict";
// The matrix of one run: pictured in any order, its cells told one by one, its gains counted.

const FACETS = { model: "Model", data: "Data", estimator: "Estimator", step: "Step size", seed: "Seed" };

const SHARES = [
  ["0.9", "90 % of gains"],
  ["0.95", "95 % of gains"],
  ["0.99", "99 % of gains"],
  ["1", "the largest gain"],
];

const explorer = {
  run: null,
  matrix: null,
  rows: [],
  columns: [],
  counted: null,
  cell: null, // [row, column] as pictured
  settings: { rows: "measured", columns: "measured", world: "", share: "0.95" },

  /** Show a run; `hash` may be missing, then the experiment's first run, or the first of all, is shown. */
  async open(experiment, hash) {
    const shown = report.runs.filter(hasMatrix);
    const run =
      shown.find((one) => one.experiment === experiment && one.hash === hash) ??
      shown.filter((one) => one.experiment === experiment).toSorted(compareRuns)[0] ??
      latest(shown);
    if (!run) {
      byId("explorer-lead").textContent = "No run of this report has a matrix yet.";
      return;
    }
    this.run = run;
    this.drawRunControls(shown);
    const matrix = await loadMatrix(run);
    if (this.run !== run) return; // another was chosen while this one was read
    const sameSamples = this.matrix && this.matrix.probes === matrix.probes && this.matrix.targets === matrix.targets;
    this.matrix = matrix;
    if (!sameSamples) {
      const worlds = unique(matrix.probes.columns.world ?? []);
      this.settings = {
        rows: "measured",
        columns: "measured",
        world: worlds.length > 1 ? String(worlds[0]) : "",
        share: matrix.probes.columns.text ? "0.95" : "0.9",
      };
    }
    this.drawOrderControls();
    showRun(run, matrix);
    this.showWorld(sameSamples);
    await this.draw();
  },

  showWorld(isSame = false) {
    if (!isSame) this.cell = null;
    this.count();
    drawHistogram(this.matrix.unit, this.counted);
  },

  drawRunControls(shown) {
    const { run } = this;
    const siblings = shown.filter((one) => one.experiment === run.experiment);
    const go = (one) => (location.hash = pathOf(one));
    const choices = [
      choice(
        "Experiment",
        unique(shown.map((one) => one.experiment)),
        run.experiment,
        (name) => (location.hash = `#explorer/${encodeURIComponent(name)}`),
        "choose-experiment",
      ),
    ];
    for (const [facet, label] of Object.entries(FACETS)) {
      // Estimators have step sizes of their own.
      const alike =
        facet === "step"
          ? siblings.filter((one) => one.estimator === run.estimator && one.model === run.model)
          : siblings;
      const order = { estimator: compareEstimators, step: (a, b) => compare(sizeOf(a), sizeOf(b)) }[facet] ?? compare;
      const values = unique(alike.map((one) => one[facet])).sort(order);
      if (values.length < 2 && !["estimator", "step"].includes(facet)) continue;
      const options = values.map((value) => [String(value), facet === "seed" ? String(value) : value || "none"]);
      choices.push(
        choice(label, options, String(run[facet]), (value) => go(closest(alike, run, facet, value)), `choose-${facet}`),
      );
    }
    byId("run-controls").replaceChildren(...choices);
    const of = run.model ? ` of ${run.model}` : "";
    byId("explorer-lead").textContent =
      `Learn one probe (a row), read every target (a column)${of}: a cell is the gain, the readout after minus before.`;
  },

  drawOrderControls() {
    const { matrix, settings } = this;
    const change = (key) => (value) => {
      settings[key] = value;
      if (key === "world") this.showWorld();
      return this.draw();
    };
    const common = (samples) => [["measured", "as measured"], ...ordersOf(samples)];
    const worlds = unique(matrix.probes.columns.world ?? []).map(String);
    byId("order-controls").replaceChildren(
      choice(
        "Rows by",
        [
          ...common(matrix.probes),
          ["gain", "mean gain"],
          ["self", "self-gain"],
          ["selected", "gain on the selected target"],
        ],
        settings.rows,
        change("rows"),
        "order-rows",
      ),
      choice(
        "Columns by",
        [...common(matrix.targets), ["gain", "mean gain"], ["selected", "gain from the selected probe"]],
        settings.columns,
        change("columns"),
        "order-columns",
      ),
      ...(worlds.length > 1
        ? [choice("World", [["", "all"], ...worlds], settings.world, change("world"), "choose-world")]
        : []),
      choice("Colours end at", SHARES, settings.share, change("share"), "colour-share"),
    );
  },

  at(row, column) {
    return this.matrix.gain[row * this.matrix.columns + column];
  },

  /** Positions of the probes and of the targets of the chosen world, as measured. */
  linesOf(samples) {
    const { world } = this.settings;
    return Array.from({ length: samples.count }, (_, line) => line).filter(
      (line) => !world || String(samples.columns.world[line]) === world,
    );
  },

  /** The order of the lines; the selected cell stays with its samples. */
  order() {
    const { matrix, settings } = this;
    const [probes, targets] = [this.linesOf(matrix.probes), this.linesOf(matrix.targets)];
    const selected = this.cell && [this.rows[this.cell[0]], this.columns[this.cell[1]]];
    const [probe, target] = selected ?? [probes[0], targets[0]];
    this.rows = orderLines(probes, settings.rows, matrix.probes, {
      gainOf: (row) => meanOf(targets.length, (k) => this.at(row, targets[k])),
      selfGain: (row) => matrix.selfGain[row],
      selected: (row) => this.at(row, target),
    });
    this.columns = orderLines(targets, settings.columns, matrix.targets, {
      gainOf: (column) => meanOf(probes.length, (k) => this.at(probes[k], column)),
      selected: (column) => this.at(probe, column),
    });
    if (selected) this.cell = [this.rows.indexOf(probe), this.columns.indexOf(target)];
  },

  /** What does not depend on the order: the gains of other targets and of the probes themselves, and all by size. */
  count() {
    const { matrix } = this;
    const [probes, targets] = [this.linesOf(matrix.probes), this.linesOf(matrix.targets)];
    const others = new Float32Array(probes.length * targets.length);
    const sizes = new Float32Array(others.length);
    const targetOf = new Map(targets.map((target) => [matrix.targets.columns.id[target], target]));
    let [otherCount, sizeCount] = [0, 0];
    for (const probe of probes) {
      const own = targetOf.get(matrix.probes.columns.id[probe]);
      for (const target of targets) {
        const gain = this.at(probe, target);
        if (gain !== gain) continue; // not measured
        sizes[sizeCount++] = Math.abs(gain);
        if (target !== own) others[otherCount++] = gain;
      }
    }
    this.counted = {
      others: others.subarray(0, otherCount).sort(),
      selves: Float32Array.from(probes.map((probe) => matrix.selfGain[probe]).filter((gain) => gain === gain)).sort(),
      sizes: sizes.subarray(0, sizeCount).sort(),
    };
  },

  async draw() {
    this.order();
    await drawPicture(byId("heatmap"), this);
    this.listen();
  },

  listen() {
    const box = byId("heatmap");
    if (this.isListening) return;
    this.isListening = true;
    const pointed = (event) => event.points[0].pointIndex;
    box.on("plotly_hover", (event) => this.tell(...pointed(event), event.event.clientX, event.event.clientY));
    box.on("plotly_unhover", hideTooltip);
    box.on("plotly_click", (event) => this.select(...pointed(event)));
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("focus", () => box.matches(":focus-visible") && this.select(...(this.cell ?? [0, 0])));
    box.addEventListener("blur", hideTooltip);
  },

  key(event) {
    const [row, column] = this.cell ?? [0, 0];
    const last = [this.rows.length - 1, this.columns.length - 1];
    const moved = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - 10, column],
      PageDown: [row + 10, column],
      Home: [row, 0],
      End: [row, last[1]],
    }[event.key];
    if (event.key === "Escape") hideTooltip();
    if (!moved || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.select(...moved.map((place, axis) => Math.min(last[axis], Math.max(0, place))));
  },

  /** Mark a cell and tell it, where it stands in the picture. */
  select(row, column) {
    this.cell = [row, column];
    Plotly.relayout(byId("heatmap"), { shapes: marksOf(this) });
    this.tellSelected();
  },

  /** Beside the selected cell, wherever the page is scrolled to. */
  tellSelected() {
    const [row, column] = this.cell;
    const box = byId("heatmap");
    const { xaxis, yaxis } = box._fullLayout;
    const place = box.getBoundingClientRect();
    this.tell(row, column, place.left + xaxis._offset + xaxis.d2p(column), place.top + yaxis._offset + yaxis.d2p(row));
    this.isBesideSelected = true;
  },

  tell(row, column, x, y) {
    this.isBesideSelected = false;
    showTooltip(this.matrix, this.rows[row], this.columns[column], x, y);
  },

  /** When the page is scrolled. */
  follow() {
    if (byId("tooltip").hidden) return;
    if (this.isBesideSelected) this.tellSelected();
    else hideTooltip();
  },
};

/** By seed, then estimator: the first is shown where none is chosen. */
const compareRuns = (a, b) => compare(a.seed, b.seed) || compareEstimators(a.estimator, b.estimator);

/** The run that finished last, of those measured here rather than published. */
function latest(runs) {
  const own = runs.filter((run) => !run.place.includes("published/"));
  return (own.length ? own : runs).toSorted((a, b) => compare(b.started ?? "", a.started ?? ""))[0];
}

/** Of the runs with this value that one which agrees with the shown run in most else. */
function closest(runs, shown, facet, value) {
  const agreement = (run) => Object.keys(FACETS).filter((key) => run[key] === shown[key]).length;
  return runs.filter((run) => String(run[facet]) === value).toSorted((a, b) => agreement(b) - agreement(a))[0];
}
