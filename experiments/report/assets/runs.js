"use strict";
// Experiments and their runs, to sort, to filter, and to open.

const pathOf = (run) => `#explorer/${encodeURIComponent(run.experiment)}/${encodeURIComponent(run.hash)}`;

const hasMatrix = (run) => run.files.length > 0;

const NOT_FINISHED = ["failed", "interrupted", "unreadable"];

const ESTIMATORS = ["SGD", "Adam", "AdamW"]; // then others, prompted last

function compareEstimators(a, b) {
  const rank = (name) => (name.startsWith("prompted") ? 9 : (ESTIMATORS.indexOf(name) + 9) % 9);
  return rank(a) - rank(b) || compare(a, b);
}

/** `lr 0.01, 3 steps` as 0.01; null for a prompt. */
const sizeOf = (step) => Number(step.match(/\d[\d.e+-]*/)?.[0] ?? NaN) || null;

function showRuns() {
  const experiments = unique(report.runs.map((run) => run.experiment)).map((name) => {
    const runs = report.runs.filter((run) => run.experiment === name);
    const all = (key) => unique(runs.map((run) => run[key]).filter((value) => value !== null && value !== ""));
    return {
      name,
      runs: runs.length,
      unfinished: runs.filter((run) => NOT_FINISHED.includes(run.status)).length,
      missing: (report.planned[name] ?? []).filter((hash) => !runs.some((run) => run.hash === hash)).length,
      models: all("model").join(", "),
      data: all("data").join(", "),
      estimators: all("estimator").sort(compareEstimators).join(", "),
      steps: all("step").length,
      seeds: all("seed").length,
      seconds: runs.reduce((sum, run) => sum + (run.seconds ?? 0), 0),
    };
  });
  const only = (experiment) => {
    byId("filter-experiment").value = experiment;
    filterRuns();
    byId("filters").scrollIntoView({ block: "start" });
  };
  new SortableTable(byId("experiment-table"), {
    caption: "Experiments",
    columns: [
      {
        label: "Experiment",
        value: (one) => one.name,
        cell: (one) => element("button", { type: "button", class: "link", onclick: () => only(one.name) }, one.name),
      },
      { label: "Model", value: (one) => one.models },
      { label: "Data", value: (one) => one.data },
      { label: "Estimators", value: (one) => one.estimators },
      { label: "Step sizes", value: (one) => one.steps, numeric: true },
      { label: "Seeds", value: (one) => one.seeds, numeric: true },
      { label: "Runs", value: (one) => one.runs, numeric: true },
      { label: "Not begun", value: (one) => one.missing, cell: (one) => one.missing || "–", numeric: true },
      { label: "Unfinished", value: (one) => one.unfinished, cell: (one) => one.unfinished || "–", numeric: true },
      { label: "Time", value: (one) => one.seconds, cell: (one) => duration(one.seconds), numeric: true },
    ],
  }).show(experiments);

  const table = new SortableTable(byId("run-table"), {
    caption: "Runs",
    empty: "No run matches; clear the filters.",
    columns: [
      {
        label: "Run",
        value: (run) => run.hash,
        cell: (run) =>
          hasMatrix(run)
            ? element("a", { href: pathOf(run), class: "code" }, run.hash)
            : element("span", { class: "code" }, run.hash),
      },
      { label: "Experiment", value: (run) => run.experiment },
      { label: "Model", value: (run) => run.model },
      { label: "Data", value: (run) => run.data },
      { label: "Estimator", value: (run) => run.estimator },
      { label: "Step size", value: (run) => sizeOf(run.step), cell: (run) => run.step || "–" },
      { label: "Seed", value: (run) => run.seed, numeric: true },
      {
        label: "Matrix",
        value: (run) => (run.probes_count ?? 0) * (run.targets_count ?? 0),
        cell: (run) => (run.probes_count ? `${run.probes_count} × ${run.targets_count}` : "–"),
        numeric: true,
      },
      {
        label: "Self-gain",
        value: (run) => run.self_gain ?? null,
        cell: (run) => number(run.self_gain),
        numeric: true,
      },
      { label: "Time", value: (run) => run.seconds, cell: (run) => duration(run.seconds), numeric: true },
      { label: "Status", value: (run) => run.status, cell: (run) => chip(run.status) },
    ],
  });

  const filters = {
    experiment: byId("filter-experiment"),
    estimator: byId("filter-estimator"),
    status: byId("filter-status"),
  };
  for (const [key, select] of Object.entries(filters)) {
    select.append(element("option", { value: "" }, "all"));
    for (const value of unique(report.runs.map((run) => run[key])).sort(compare))
      select.append(element("option", { value }, value));
    select.addEventListener("change", filterRuns);
  }
  byId("filter").addEventListener("input", filterRuns);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  function filterRuns() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = report.runs.filter((run) => {
      const text = [run.place, run.model, run.data, run.estimator, run.step, run.status].join(" ").toLowerCase();
      return (
        words.every((word) => text.includes(word)) &&
        Object.entries(filters).every(([key, select]) => !select.value || run[key] === select.value)
      );
    });
    table.show(shown);
    byId("run-count").value = `${shown.length} of ${report.runs.length} runs`;
  }
  filterRuns();
}
