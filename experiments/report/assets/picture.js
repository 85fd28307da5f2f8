"use strict";
// The picture of a matrix.

// Diverging and told apart under every common colour blindness: RdBu of the figures; in the dark its middle is the page.
const SCALES = {
  light: [
    "#053061",
    "#2166ac",
    "#4393c3",
    "#92c5de",
    "#d1e5f0",
    "#f7f7f7",
    "#fddbc7",
    "#f4a582",
    "#d6604d",
    "#b2182b",
    "#67001f",
  ],
  dark: [
    "#c6e5ff",
    "#8cc8f5",
    "#529fd9",
    "#2f6c9f",
    "#23435f",
    "#1d2025",
    "#5c3129",
    "#97473a",
    "#d56a50",
    "#f79a7c",
    "#ffd0bd",
  ],
};

/**
 * Draw a matrix into a box.
 *
 * `shown` has the run, its matrix, the lines in their order, what they are ordered by, the selected cell, and the sizes
 * of all gains, sorted: the explorer.
 */
async function drawPicture(box, shown) {
  const { run, matrix, settings, rows, columns } = shown;
  const limit = quantile(shown.counted.sizes, Number(settings.share)) || 1;
  const colors = theme.isDark ? SCALES.dark : SCALES.light;
  const ink = theme.color("ink");
  const [left, below] = [axisOf(matrix.probes, rows, settings.rows), axisOf(matrix.targets, columns, settings.columns)];
  const axis = { showgrid: false, zeroline: false, ticks: "", showline: false };
  const width = box.clientWidth;
  const height = Math.min(620, Math.max(320, (width - 110) * (rows.length / columns.length) + 140));
  // Margins are set by hand, because the library finds them by drawing everything twice.
  const [leftLength, belowLength] = [left, below].map(
    (side) => 6.5 * Math.max(0, ...side.ticks.ticktext.map((name) => name.length)),
  );
  const cell = (width - 50 - leftLength) / columns.length;
  const tilt = !below.isNamed || belowLength < cell ? 0 : cell < 20 ? 90 : 50; // degrees
  const [across, above] = [Math.cos, Math.sin].map((part) => (tilt ? belowLength * part((tilt * Math.PI) / 180) : 0));
  await Plotly.react(
    box,
    [
      {
        type: "heatmap",
        z: arranged(matrix, rows, columns),
        zmin: -limit,
        zmax: limit,
        colorscale: colors.map((color, index) => [index / (colors.length - 1), color]),
        hoverinfo: "none",
        hoverongaps: true,
        colorbar: {
          title: { text: `gain, ${matrix.unit}`, side: "top" },
          orientation: "h",
          x: 0,
          xanchor: "left",
          y: 0,
          yanchor: "top",
          xpad: 0,
          ypad: 12,
          lenmode: "pixels",
          len: 190,
          thickness: 10,
          outlinewidth: 0,
          tickformat: "~g",
          nticks: 5,
        },
      },
    ],
    {
      ...plainLayout(ink),
      height,
      margin: { l: 34 + leftLength, r: 10 + across, t: 44 + above, b: 76 },
      plot_bgcolor: theme.color("missing"),
      xaxis: {
        ...axis,
        ...below.ticks,
        side: "top",
        tickangle: -tilt,
        title: { text: "target (read)", standoff: 6 + above },
        range: [-0.5, columns.length - 0.5],
      },
      yaxis: {
        ...axis,
        ...left.ticks,
        title: { text: "probe (learned)", standoff: leftLength },
        range: [rows.length - 0.5, -0.5],
      },
      shapes: marksOf(shown),
    },
    { displayModeBar: false, responsive: true, doubleClick: "reset" },
  );
  const of = `${run.experiment}, ${run.estimator}; colours end at ${number(limit)} ${matrix.unit}`;
  box.setAttribute("aria-label", `Gains of ${columns.length} targets after each of ${rows.length} probes, ${of}`);
  box.dataset.drawn = String(Number(box.dataset.drawn ?? 0) + 1);
}

/** The gains in this order, a row each. */
function arranged(matrix, rows, columns) {
  return rows.map((row) => {
    const line = new Float32Array(columns.length);
    const start = row * matrix.columns;
    for (let place = 0; place < columns.length; place++) line[place] = matrix.gain[start + columns[place]];
    return line;
  });
}

/** Lines between bands, and the selected cell with its row and column. */
function marksOf({ matrix, settings, rows, columns, cell }) {
  const line = { color: theme.color("rule"), width: 1 };
  const between = (bands) => (bands.length > MOST_NAMED ? [] : bands.slice(1).map((band) => band.start - 0.5));
  const marks = [
    ...between(axisOf(matrix.probes, rows, settings.rows).bands).map((y) => ({
      type: "line",
      xref: "paper",
      x0: 0,
      x1: 1,
      y0: y,
      y1: y,
      line,
    })),
    ...between(axisOf(matrix.targets, columns, settings.columns).bands).map((x) => ({
      type: "line",
      yref: "paper",
      y0: 0,
      y1: 1,
      x0: x,
      x1: x,
      line,
    })),
  ];
  if (cell) {
    const [row, column] = cell;
    const cross = { color: theme.color("ink"), width: 1, dash: "dot" };
    marks.push(
      { type: "line", xref: "paper", x0: 0, x1: 1, y0: row, y1: row, line: cross, opacity: 0.35 },
      { type: "line", yref: "paper", y0: 0, y1: 1, x0: column, x1: column, line: cross, opacity: 0.35 },
      {
        type: "rect",
        x0: column - 0.5,
        x1: column + 0.5,
        y0: row - 0.5,
        y1: row + 0.5,
        line: { color: theme.color("ink"), width: 2 },
      },
    );
  }
  return marks;
}
