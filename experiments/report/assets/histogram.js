"use strict";
// The distribution of the gains of a matrix.

const BINS = 60;

/** How the gains lie: of other targets, and of the probes themselves; both sorted. */
function drawHistogram(unit, { others, selves }) {
  const both = [
    ...[selves[0], selves.at(-1)].filter((value) => value !== undefined),
    quantile(others, 0.001),
    quantile(others, 0.999),
  ].filter((value) => value === value);
  const [low, high] = [Math.min(0, ...both), Math.max(0, ...both)];
  const trace = (name, values, color) => {
    const { centers, shares } = histogramOf(values, low, high, BINS);
    return {
      type: "scatter",
      mode: "lines",
      name: `${name} (${values.length.toLocaleString("en")})`,
      x: centers,
      y: shares,
      line: { shape: "hvh", width: 1.5, color: theme.color(color) },
      fill: "tozeroy",
      fillcolor: theme.color(color, 0.2),
      hovertemplate: "%{x:.3~g}: %{y:.1%}<extra></extra>",
    };
  };
  const ink = theme.color("ink");
  const axis = { gridcolor: theme.color("line"), zerolinecolor: theme.color("rule"), nticks: 5 };
  Plotly.react(
    byId("histogram"),
    [trace("other targets", others, "blue"), ...(selves.length ? [trace("the probe itself", selves, "orange")] : [])],
    {
      ...plainLayout(ink),
      height: 230,
      margin: { l: 44, r: 8, t: 46, b: 38 },
      xaxis: { ...axis, title: { text: `gain (${unit})`, standoff: 6 }, tickformat: "~g" },
      yaxis: { ...axis, tickformat: ".0%", rangemode: "tozero" },
      legend: { y: 1.04, yanchor: "bottom", x: 0, xanchor: "left" },
      showlegend: true,
    },
    { displayModeBar: false, responsive: true },
  );
  const median = (values) => number(quantile(values, 0.5));
  const note = `Share of cells. Median gain of other targets ${median(others)}, of the probe itself ${median(selves)} ${unit}; the outermost bins hold what lies beyond.`;
  byId("histogram-note").textContent = note;
  byId("histogram").setAttribute("aria-label", note);
}

function plainLayout(ink) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 11, color: ink },
  };
}
