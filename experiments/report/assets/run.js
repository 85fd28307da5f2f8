"use strict";
// One run in words and numbers, beside and below its matrix.

/** What a run is, the probes that failed, and its scores. */
function showRun(run, matrix) {
  const failed = Object.entries(matrix.failures);
  const facts = {
    run: element(
      "span",
      { class: "code" },
      ...run.place.split("/").flatMap((part, index) => (index ? ["/", element("wbr"), part] : [part])),
    ),
    model: run.model || "–",
    data: run.data || "–",
    estimator: run.estimator,
    "step size": run.step || "none",
    seed: String(run.seed ?? "–"),
    readout: `${matrix.readout} (${matrix.unit})`,
    matrix: `${matrix.rows} probes × ${matrix.columns} targets`,
    "median self-gain": `${number(run.self_gain)} ${matrix.unit}`,
    status: chip(run.status),
    measured: run.started ? `${run.started.slice(0, 10)}, in ${duration(run.seconds)}` : "–",
  };
  byId("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => reading(name, value)));
  byId("probe-failures").replaceChildren(...(failed.length ? [failedProbes(run, failed)] : []));
  const scores = new SortableTable(byId("scores"), {
    caption: "Scores of this run",
    empty: "No scores are saved with this run alone: runs that differ in their seeds are scored together (Desiderata).",
    columns: [
      { label: "Desideratum", value: (row) => row.desideratum },
      { label: "Score", value: conditioned, cell: (row) => element("span", { class: "code" }, conditioned(row)) },
      { label: "Value", value: (row) => row.value, cell: (row) => number(row.value), numeric: true },
      {
        label: "95 % interval",
        value: (row) => row.low,
        cell: (row) => (row.low === null ? "–" : `${number(row.low)} to ${number(row.high)}`),
        numeric: true,
      },
      { label: "p", value: (row) => row.p, cell: (row) => number(row.p), numeric: true },
      {
        label: "Units",
        value: (row) => row.n,
        cell: (row) => (row.n ? `${row.n} ${row.unit_of_n}` : "–"),
        numeric: true,
      },
      { label: "Verdict", value: (row) => row.verdict, cell: (row) => (row.verdict ? chip(row.verdict) : "–") },
      { label: "Note", value: (row) => row.note, cell: (row) => element("span", { class: "note" }, row.note ?? "") },
    ],
  });
  scores.show(matrix.scores);
}
