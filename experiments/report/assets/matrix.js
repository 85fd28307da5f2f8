"use strict";
// What is computed of a matrix: orders of its lines, bands of equal lines, limits of colours, histograms.

const COLUMNS_OF_ORDER = ["label", "group", "sigma", "item", "role", "world"];

/** Columns of a sample table that tell its samples apart, and may order them. */
function ordersOf(samples) {
  return COLUMNS_OF_ORDER.filter((name) => samples.columns[name] && unique(samples.columns[name]).length > 1);
}

/**
 * Positions in the wanted order, ties as measured.
 *
 * `gainOf(line)` is what a line teaches or learns on average; `selected(line)` its gain in the selected cross line.
 */
function orderLines(lines, by, samples, { gainOf, selfGain, selected }) {
  if (by === "measured") return lines;
  const keys = { gain: gainOf, self: selfGain, selected }[by];
  if (!keys) return lines.toSorted((a, b) => compare(samples.columns[by][a], samples.columns[by][b]));
  const value = new Map(lines.map((line) => [line, keys(line)]));
  const down = (a, b) => (Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : b - a);
  return lines.toSorted((a, b) => down(value.get(a), value.get(b)));
}

/** Mean over the measured cells of a line; `at(k)` is its k-th cell. */
function meanOf(count, at) {
  let sum = 0;
  let measured = 0;
  for (let k = 0; k < count; k++) {
    const value = at(k);
    if (value === value) {
      sum += value;
      measured++;
    }
  }
  return measured ? sum / measured : NaN;
}

/** Runs of equal neighbours: [{label, start, end}], the end exclusive. */
function bandsOf(labels) {
  const bands = [];
  labels.forEach((label, index) => {
    const last = bands.at(-1);
    if (last && last.label === label) last.end = index + 1;
    else bands.push({ label, start: index, end: index + 1 });
  });
  return bands;
}

/** The value below which this share of sorted values lies; NaN of none. */
function quantile(sorted, share) {
  if (!sorted.length) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Shares of the values in equal bins from low to high; what lies outside counts in the outermost bins. */
function histogramOf(values, low, high, bins) {
  const shares = new Float64Array(bins);
  const width = (high - low) / bins;
  for (const value of values)
    shares[Math.min(bins - 1, Math.max(0, Math.floor((value - low) / width)))] += 1 / values.length;
  return { centers: Array.from(shares, (_, bin) => low + (bin + 0.5) * width), shares: Array.from(shares) };
}

const MOST_NAMED = 42; // lines whose names fit beside a matrix

/** Names beside the lines of a matrix: each where they are few, else of bands of equal ones. */
function axisOf(samples, lines, by) {
  const { columns } = samples;
  const natural = columns.text
    ? columns.world && unique(lines.map((line) => columns.world[line])).length > 1
      ? "world"
      : "item"
    : columns.group
      ? "group"
      : "label";
  const key = columns[by] ? by : natural;
  const isOrdered = by === "measured" || Boolean(columns[by]);
  const isNamed = lines.length <= MOST_NAMED;
  const labels = lines.map((line) => (columns[key] ? String(columns[key][line] ?? "") : ""));
  const bands = isOrdered && columns[key] ? bandsOf(labels) : [];
  if (isNamed) {
    const names = lines.map((line) => short(columns.item ?? columns.label ?? columns.id, line));
    return {
      isNamed,
      bands: key === "item" ? [] : bands,
      ticks: { tickmode: "array", tickvals: lines.map((_, place) => place), ticktext: names },
    };
  }
  const named = bands.length <= MOST_NAMED ? bands : [];
  const prefix = key === "label" || key === "world" || key === "sigma" ? `${key} ` : "";
  const few = named.length <= 12 ? prefix : "";
  return {
    isNamed: false,
    bands: named,
    ticks: {
      tickmode: "array",
      tickvals: named.map((band) => (band.start + band.end - 1) / 2),
      ticktext: named.map((band) => escaped(few + band.label)),
    },
  };
}

const short = (values, line) =>
  escaped(String(values[line]).length > 22 ? `${String(values[line]).slice(0, 21)}…` : String(values[line]));

/** Plotly reads a few tags in its labels; text of samples is not to be read so. */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
