"use strict";
// The data. A page from disk may not fetch, so every part of them is a script that hands itself over when it is loaded.

const report = {
  runs: [],
  planned: {},
  cards: [],
  ledger: [],
  matrices: new Map(),
  samples: new Map(),

  addIndex(index) {
    Object.assign(report, index);
  },

  addMatrix(key, data) {
    const [rows, columns] = data.shape;
    report.matrices.set(key, {
      ...data,
      rows,
      columns,
      gain: floats(data.gain),
      before: floats(data.before),
      selfGain: floats(data.self_gain),
    });
  },

  addSamples(name, data) {
    report.samples.set(name, { ...data, count: data.columns.id.length });
  },
};

/** Little-endian float32, as every machine with a browser has them. */
function floats(base64) {
  return new Float32Array(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
}

const scripts = new Map();

function loadScript(name) {
  if (!scripts.has(name)) {
    const loaded = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `data/${name}`;
      script.onload = resolve;
      script.onerror = () =>
        reject(new Error(`expected data/${name} beside the page, got none; make the report again`));
      document.head.append(script);
    });
    scripts.set(name, loaded);
  }
  return scripts.get(name);
}

/** The matrix of a run with its sample tables. */
async function loadMatrix(run) {
  await Promise.all(run.files.map(loadScript));
  return {
    ...report.matrices.get(run.key),
    probes: report.samples.get(run.probes),
    targets: report.samples.get(run.targets),
  };
}
