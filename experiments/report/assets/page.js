"use strict";
// Small parts of pages. Text of runs and samples becomes text nodes, never markup.

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; null and undefined children are left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

function setAttributes(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value === true ? "" : value);
  }
}

/** A labelled choice; `options` are values, or pairs of value and text. */
function choice(label, options, chosen, onchange, id) {
  const select = element("select", { id, onchange: () => onchange(select.value) });
  for (const option of options) {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    select.append(element("option", { value, selected: value === chosen }, text));
  }
  select.disabled = options.length < 2;
  return element("label", {}, `${label} `, select);
}

const unique = (values) => [...new Set(values)];

const naturally = new Intl.Collator("en", { numeric: true });

/** Order of two values of a table: numbers, then texts, what is missing last. */
function compare(a, b) {
  const [aMissing, bMissing] = [a, b].map((value) => value === null || value === undefined || value === "");
  if (aMissing || bMissing) return aMissing - bMissing;
  return typeof a === "number" && typeof b === "number" ? a - b : naturally.compare(a, b);
}

/** Three digits with a true minus, "–" for what is missing. */
function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const isLarge = size >= 10 ** digits;
  const text = isLarge ? value.toFixed(0) : size < 1e-4 ? value.toExponential(digits - 1) : value.toPrecision(digits);
  return text.replaceAll("-", "−");
}

const signed = (value, digits) => (value > 0 ? "+" : "") + number(value, digits);

function interval(row) {
  if (row.value === null) return "undefined";
  return number(row.value) + (row.low === null ? "" : ` [${number(row.low)}, ${number(row.high)}]`);
}

const conditioned = (row) => (row.condition ? `${row.score} [${row.condition}]` : row.score);

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Marks of verdicts, told apart by shape as by colour. */
const MARKS = {
  satisfied: "✓",
  violated: "✗",
  undecided: "?",
  void: "∅",
  descriptive: "·",
  holds: "✓",
  "does not hold": "✗",
  done: "✓",
  failed: "✗",
  unreadable: "✗",
};

const VERDICT_CLASS = {
  satisfied: "good",
  holds: "good",
  done: "good",
  violated: "bad",
  "does not hold": "bad",
  failed: "bad",
  unreadable: "bad",
  undecided: "open",
  running: "open",
};

function chip(verdict) {
  const mark = MARKS[verdict] ? `${MARKS[verdict]} ` : "";
  return element("span", { class: `chip ${VERDICT_CLASS[verdict] ?? "plain"}` }, mark + verdict);
}
