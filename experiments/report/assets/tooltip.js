"use strict";
// A cell told: probe and target, before, after and gain.

/** Tell a cell of a matrix beside a point of the window. */
function showTooltip(matrix, probe, target, x, y) {
  const [gain, before] = [matrix.gain[probe * matrix.columns + target], matrix.before[target]];
  const ids = [matrix.probes.columns.id[probe], matrix.targets.columns.id[target]];
  const failure = matrix.failures[ids[0]];
  const isMeasured = gain === gain;
  const tooltip = byId("tooltip");
  tooltip.dataset.probe = ids[0];
  tooltip.dataset.target = ids[1];
  tooltip.replaceChildren(
    element(
      "div",
      { class: "pair" },
      sampleCard("Learned, the probe", matrix.probes, probe),
      sampleCard(ids[0] === ids[1] ? "Read, the same" : "Read, the target", matrix.targets, target),
    ),
    isMeasured
      ? element(
          "dl",
          { class: "readings" },
          ...reading("before", number(before, 4)),
          ...reading("after", number(before + gain, 4)),
          ...reading("gain", `${signed(gain)} ${matrix.unit}`, gain > 0 ? "up" : "down"),
        )
      : element("p", { class: "hint" }, failure ? `This probe failed: ${failure}` : "Not measured."),
  );
  tooltip.hidden = false;
  const { offsetWidth, offsetHeight } = tooltip;
  const { clientWidth, clientHeight } = document.documentElement; // without scroll bars
  const fits = x + 18 + offsetWidth < clientWidth;
  tooltip.style.left = `${Math.max(8, fits ? x + 18 : x - 18 - offsetWidth)}px`;
  tooltip.style.top = `${Math.max(8, Math.min(y + 18, clientHeight - offsetHeight - 8))}px`;
}

function hideTooltip() {
  byId("tooltip").hidden = true;
}

const reading = (name, value, kind) => [element("dt", {}, name), element("dd", { class: kind }, value)];

/** A sample: its image, or its text with the names coloured, and what it is. */
function sampleCard(title, samples, line) {
  const { columns, sprite } = samples;
  const what = ["label", "group", "role", "world"].filter(
    (name) => columns[name] !== undefined && columns[name][line] !== "",
  );
  return element(
    "figure",
    {},
    element("figcaption", {}, title),
    sprite ? imageOf(samples, line) : columns.text ? textOf(columns, line) : null,
    element(
      "p",
      { class: "what" },
      what
        .map((name) => (name === "group" || name === "role" ? columns[name][line] : `${name} ${columns[name][line]}`))
        .join(", "),
    ),
    element("p", { class: "code" }, columns.id[line]),
  );
}

const SPRITE_SIZE = 84; // pixels on the page

function imageOf({ columns, sprite }, line) {
  const [left, top] = [line % sprite.per_row, Math.floor(line / sprite.per_row)];
  const image = element("div", { class: "sprite", role: "img", "aria-label": `image of ${columns.id[line]}` });
  const scale = SPRITE_SIZE / sprite.width;
  Object.assign(image.style, {
    width: `${SPRITE_SIZE}px`,
    height: `${sprite.height * scale}px`,
    backgroundImage: `url("${sprite.uri}")`,
    backgroundSize: `${sprite.per_row * SPRITE_SIZE}px ${sprite.rows * sprite.height * scale}px`,
    backgroundPosition: `-${left * SPRITE_SIZE}px -${top * sprite.height * scale}px`,
  });
  return image;
}

function textOf(columns, line) {
  const text = columns.text[line];
  const shown = element("p", { class: "text" });
  let end = 0;
  // Spans count code points, as Python does.
  const points = Array.from(text);
  for (const [slot, from, to] of columns.spans?.[line] ?? []) {
    shown.append(
      points.slice(end, from).join(""),
      element(
        "mark",
        { class: `slot-${(slot.charCodeAt(0) - 65) % 6}`, title: `name ${slot}` },
        points.slice(from, to).join(""),
      ),
    );
    end = to;
  }
  shown.append(points.slice(end).join(""));
  return shown;
}
