"use strict";
const { runs, advice, differences } = JSON.parse(document.getElementById("data").textContent);
const root = document.getElementById("report");
const COLOURS = ["#1c7ac9", "#d0692b", "#3a9a5b", "#a05bc0", "#b58a14", "#4c9aa0"];

/* Elements; text is never parsed as HTML, names of a file may hold anything. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
function shape(tag, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
const section = (title, ...children) => element("section", {}, element("h2", { text: title }), ...children);
const scrolled = (label, child) => element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);

/* Figures. */
const fixed = (x, digits = 2) => (x === null || x === undefined ? "–" : x.toFixed(digits));
const short = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(2) : Number(x.toPrecision(4)).toString());
const axis = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-2 ? x.toExponential(1) : Number(x.toPrecision(3)).toString());
const bytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(2)} MB` : `${(n / 1e3).toFixed(1)} kB`);
const counted = (n) => Math.round(n).toLocaleString("en-US");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`;
const decibels = (x) => (x === null || x === undefined ? "equal" : `${x.toFixed(1)} dB`);

/* A score of any task: its first figure, and what it is called. */
function figure(score) {
  if (!score) return null;
  if ("top1" in score) return { name: "top-1", unit: "%", value: score.top1, interval: score.top1_interval };
  if ("mean_iou" in score) return { name: "mean IoU", unit: "%", value: score.mean_iou };
  if (Array.isArray(score.sqnr)) {
    const found = score.sqnr.map((output) => output.decibels ?? output.sqnr).filter((x) => typeof x === "number");
    const noise = found.map((x) => 10 ** (-x / 10)).reduce((a, b) => a + b, 0) / (score.sqnr.length || 1);
    return { name: "output SQNR", unit: "dB", value: found.length ? -10 * Math.log10(noise) : null };
  }
  const first = score.figures?.[0];
  return first ? { name: first.name, unit: "", value: first.value } : null;
}
function words(score) {
  const found = figure(score);
  if (!found) return "not measured";
  if (found.value === null) return "equal";
  const half = found.interval ? ` ± ${((found.interval[1] - found.interval[0]) / 2).toFixed(2)}` : "";
  return `${found.value.toFixed(2)}${half} ${found.unit}`.trim();
}
function rows(summary) {
  const found = [["float", summary.float]];
  if (summary.calibrated) found.push(["calibrated", summary.calibrated], ["refined", summary.refined]);
  else found.push(["calibrated", summary.ptq]);
  for (const epoch of summary.course ?? []) found.push([`epoch ${epoch.epoch}${epoch.epoch === summary.best ? " (best)" : ""}`, epoch.score]);
  if (summary.exported) found.push([`exported: ${summary.exported.network}`, summary.exported.score]);
  return found.filter(([, score]) => score);
}

function table(columns, lines, label) {
  const head = element("tr", {}, ...columns.map(([name, figures]) => element("th", { scope: "col", class: figures ? "figure" : "", text: name })));
  const body = lines.map((line) => element("tr", {}, ...line.map((cell, i) => element("td", { class: columns[i][1] ? "figure" : "", text: cell }))));
  return scrolled(label, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}
function cards(pairs) {
  return element("dl", { class: "cards" }, ...pairs.map(([name, value]) => element("div", { class: "card" }, element("dt", { text: name }), element("dd", { text: value }))));
}

/* A chart of lines: each { name, points: [[x, y], …] }. */
function chart(title, lines, { unit = "", logarithmic = false } = {}) {
  const points = lines.flatMap((line) => line.points).filter(([, y]) => Number.isFinite(y) && (!logarithmic || y > 0));
  if (points.length === 0) return null;
  const scale = logarithmic ? Math.log10 : (y) => y;
  const [width, height, left, bottom, top] = [340, 190, 52, 24, 10];
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => scale(y));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (y0 === y1) [y0, y1] = [y0 - 1, y1 + 1];
  const px = (x) => left + ((x - x0) / (x1 - x0 || 1)) * (width - left - 10);
  const py = (y) => top + (1 - (scale(y) - y0) / (y1 - y0)) * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}, from ${short(points[0][1])} to ${short(points[points.length - 1][1])} ${unit}`.trim() });
  for (let i = 0; i <= 4; i += 1) {
    const value = y0 + ((y1 - y0) * i) / 4, y = top + (1 - i / 4) * (height - top - bottom);
    svg.append(shape("line", { x1: left, x2: width - 10, y1: y, y2: y, stroke: "var(--line)" }));
    svg.append(shape("text", { x: left - 5, y: y + 4, "text-anchor": "end", text: axis(logarithmic ? 10 ** value : value) }));
  }
  svg.append(shape("text", { x: left, y: height - 7, text: short(x0) }), shape("text", { x: width - 10, y: height - 7, "text-anchor": "end", text: short(x1) }));
  lines.forEach((line, i) => {
    const drawn = line.points.filter(([, y]) => Number.isFinite(y) && (!logarithmic || y > 0)).map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`);
    const colour = line.colour ?? COLOURS[i % COLOURS.length];
    if (drawn.length === 1) svg.append(shape("circle", { cx: drawn[0].split(",")[0], cy: drawn[0].split(",")[1], r: 4, fill: colour }));
    svg.append(shape("polyline", { points: drawn.join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
  });
  return element("figure", {}, element("figcaption", { text: title }), svg);
}

/* Counts as bars, the range of the codes marked. */
function histogram(title, { low, high, counts }, range) {
  const [width, height, bottom] = [360, 150, 22];
  const most = Math.max(...counts.map((n) => Math.sqrt(n)), 1);
  const px = (x) => ((x - low) / (high - low || 1)) * width;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}, values from ${short(low)} to ${short(high)}` });
  counts.forEach((n, i) => {
    const tall = (Math.sqrt(n) / most) * (height - bottom - 8), step = width / counts.length;
    svg.append(shape("rect", { x: i * step, y: height - bottom - tall, width: step * 0.9, height: tall, fill: "var(--trained)" }));
  });
  for (const [i, x] of (range ?? []).entries()) {
    svg.append(shape("line", { x1: px(x), x2: px(x), y1: 0, y2: height - bottom, stroke: "var(--calibrated)", "stroke-width": 2, "stroke-dasharray": "4 3" }));
    svg.append(shape("text", { x: px(x), y: height - 6, "text-anchor": i === 0 ? "start" : "end", text: short(x) }));
  }
  return element("figure", {}, element("figcaption", { text: title }), svg);
}

/* The least and greatest weight of each channel. */
function channels(ranges) {
  const [width, height] = [360, 110];
  const most = Math.max(...ranges.flat().map(Math.abs), 1e-30);
  const py = (y) => height / 2 - (y / most) * (height / 2 - 4), step = width / ranges.length;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `weights of ${ranges.length} channels, at most ${short(most)} in magnitude` });
  svg.append(shape("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, stroke: "var(--line)" }));
  ranges.forEach(([low, high], i) => svg.append(shape("rect", { x: i * step, y: py(high), width: Math.max(step * 0.8, 0.5), height: Math.max(py(low) - py(high), 0.5), fill: "var(--float)" })));
  return element("figure", {}, element("figcaption", { text: `weights by output channel, ±${short(most)}` }), svg);
}

/* From 10 dB (lost) to 45 dB (kept). */
function quality(sqnr, isFloat) {
  if (isFloat) return "var(--float)";
  const share = sqnr === null || sqnr === undefined ? 1 : Math.min(1, Math.max(0, (sqnr - 10) / 35));
  return `hsl(${(18 + 190 * share).toFixed(0)} 65% 48%)`;
}

function detail(statistics, layer) {
  const tensor = layer.tensor === null ? null : statistics.tensors[layer.tensor];
  const panel = element("div", { class: "detail" }, element("h3", { text: layer.node || "(no name)" }));
  panel.append(element("p", { class: "soft", text: `${layer.operators.join(" + ")}, output ${layer.shape.join("×")}, ${counted(layer.multiply_accumulates)} multiply-accumulates` }));
  if (layer.float) panel.append(element("p", { class: "warning", text: `in float: ${layer.float}` }));
  if (tensor) {
    const shared = tensor.tensor;
    panel.append(
      element("h3", { text: `values of ${shared}` }),
      element("p", { text: `${tensor.bits} bits, step ${short(tensor.scale)}, zero point ${tensor.zero_point}. SQNR to here ${decibels(tensor.sqnr)}. ${tensor.codes_used} of ${tensor.codes} codes used; ${percent(tensor.below)} below and ${percent(tensor.above)} above the range.` }),
      histogram("float values (height: square root of the count); dashed: the range of the codes", tensor.histogram, tensor.range),
    );
  }
  const weights = layer.weights;
  if (weights) {
    panel.append(
      element("h3", { text: "weights" }),
      element("p", { text: `${counted(weights.count)} of ${weights.bits} bits, ${weights.scales === 1 ? "one scale" : `${weights.scales} scales`}, step at most ${short(weights.scale)}. SQNR ${decibels(weights.sqnr)}. ${weights.codes_used} of ${weights.codes} codes used, ${percent(weights.clipped)} clipped.` }),
      histogram("float weights, BatchNormalization folded in (height: square root of the count)", weights.histogram),
      channels(weights.channels),
    );
  }
  return panel;
}

/* Layers from top to bottom; lines at the left lead from each input that is not the layer just above. */
function network(statistics) {
  const layers = statistics.layers, row = 32, wide = 70;
  const edges = shape("svg", { class: "edges", viewBox: `0 0 ${wide} ${layers.length * row}`, height: layers.length * row, style: `height:${layers.length * row}px`, "aria-hidden": "true" });
  layers.forEach((layer, i) => {
    for (const from of layer.inputs) {
      const [y0, y1] = [from * row + row / 2, i * row + row / 2];
      const bend = from === i - 1 ? wide - 6 : Math.max(4, wide - 14 - 7 * Math.sqrt(i - from));
      edges.append(shape("path", { d: `M${wide} ${y0} C${bend} ${y0} ${bend} ${y1} ${wide} ${y1}`, fill: "none", stroke: "var(--soft)", "stroke-width": 1.2 }));
    }
  });
  const place = element("div", { class: "detail", "aria-live": "polite" });
  const buttons = layers.map((layer) => {
    const tensor = layer.tensor === null ? null : statistics.tensors[layer.tensor];
    const widths = [layer.weights && `W${layer.weights.bits}`, tensor && `A${tensor.bits}`].filter(Boolean).join(" ");
    const button = element(
      "button",
      { class: "layer", type: "button", "aria-pressed": "false", style: `--quality:${quality(tensor?.sqnr, !tensor)}`, onclick: () => show(layer, button) },
      element("b", { text: layer.node || "(no name)", title: layer.node }),
      element("span", { class: "operators", text: layer.operators.join("+") }),
      element("span", { text: widths || "float" }),
      element("span", { text: tensor ? decibels(tensor.sqnr) : "" }),
    );
    return button;
  });
  function show(layer, button) {
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    place.replaceChildren(detail(statistics, layer));
  }
  const worst = layers.map((layer, i) => [layer.tensor === null ? Infinity : (statistics.tensors[layer.tensor].sqnr ?? Infinity), i]).sort((a, b) => a[0] - b[0])[0];
  if (worst) show(layers[worst[1]], buttons[worst[1]]);
  const list = element("div", { class: "layers", tabindex: "0", role: "region", "aria-label": "layers" }, edges, element("ol", {}, ...buttons.map((button) => element("li", {}, button))));
  return section(
    "Layer by layer",
    element("p", { class: "soft", text: `Signal to quantization noise of each layer's output on ${statistics.images} images, everything before it quantized too: orange is lost, blue is kept, grey is float. A layer opens on a click.` }),
    element("div", { class: "network" }, list, place),
  );
}

/* MACs by the widths they are made with. */
function operations(statistics) {
  const found = new Map();
  for (const layer of statistics.layers.filter((l) => l.multiply_accumulates > 0)) {
    const input = layer.inputs.length ? statistics.layers[layer.inputs[0]].tensor : 0;
    const activation = input === null || input === undefined ? null : statistics.tensors[input]?.bits;
    const key = layer.weights ? `W${layer.weights.bits} A${activation ?? "–"}` : layer.float ? "float" : "others";
    found.set(key, (found.get(key) ?? 0) + layer.multiply_accumulates);
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}

function head(run) {
  const { summary, statistics } = run;
  const model = String(summary.model ?? "").split("/").pop();
  const pairs = rows(summary).filter(([name]) => !name.startsWith("epoch")).map(([name, score]) => [name, words(score)]);
  if (statistics) pairs.push(["constants", `${bytes(statistics.float_bytes)} → ${bytes(statistics.quantized_bytes)}`]);
  if (statistics) pairs.push(...operations(statistics).slice(0, 2).map(([widths, n]) => [`multiply-accumulates ${widths}`, counted(n)]));
  pairs.push(["time", `${fixed(summary.seconds, 1)} s`]);
  return [
    element("h1", { text: `${model} for ${summary.quantized?.target ?? "float"}` }),
    element("p", { class: "soft", text: `${run.name}${summary.judged_on ? `, judged on ${summary.judged_on} images` : ""}` }),
    cards(pairs),
    ...(summary.warnings ?? []).map((text) => element("p", { class: "warning", text })),
  ];
}

function curves() {
  const of = (kind, key) => runs.map((run, i) => ({ name: run.name, colour: COLOURS[i % COLOURS.length], points: run.metrics.filter((line) => line.kind === kind && typeof line[key] === "number").map((line) => [line.step, line[key]]) }));
  const scores = runs.map((run, i) => ({ name: run.name, colour: COLOURS[i % COLOURS.length], points: (run.summary.course ?? []).map((epoch) => [epoch.epoch, figure(epoch.score)?.value]).filter(([, y]) => typeof y === "number") }));
  const unit = figure(runs[0].summary.float ?? runs[0].summary.ptq);
  const charts = [
    chart("loss by step", of("step", "loss"), { logarithmic: true }),
    chart("learning rate by step", of("step", "rate")),
    chart("gradient norm by step", of("step", "gradient_norm"), { logarithmic: true }),
    chart(`${unit?.name ?? "score"} by epoch`, scores, { unit: unit?.unit ?? "" }),
  ].filter(Boolean);
  if (charts.length === 0) return [];
  const legend = element("ul", { class: "legend" }, ...runs.map((run, i) => element("li", {}, element("i", { style: `background:${COLOURS[i % COLOURS.length]}` }), run.name)));
  return [section("How it went", ...(runs.length > 1 ? [legend] : []), element("div", { class: "charts" }, ...charts))];
}

function checks(summary) {
  const state = summary.onnxruntime?.state;
  const said = { opened: "ONNX Runtime opened the exported file; its outputs have the float network's names, types and shapes.", "not-found": "ONNX Runtime was not found: the exported file was not opened.", "left-out": "The exported file was not opened in ONNX Runtime, as export.check says." }[state];
  const float = summary.quantized?.float ?? [];
  const lines = float.map((node) => [node.node, node.operator, node.reason]);
  return section(
    "What was written, and what stays in float",
    ...(said ? [element("p", { text: said })] : []),
    element("p", { text: (summary.files ?? []).join(", ") || "No file was written." }),
    ...(lines.length ? [table([["node"], ["operator"], ["in float, as"]], lines, "what stays in float")] : [element("p", { text: "Nothing stays in float." })]),
  );
}

for (const run of runs.slice(0, 1)) root.append(...head(run));
if (runs.length > 1) {
  root.append(section("Runs", table([["run"], ["float", 1], ["calibrated", 1], ["exported", 1], ["constants", 1], ["seconds", 1]], runs.map((run) => [run.name, words(run.summary.float), words(run.summary.calibrated ?? run.summary.ptq), words(run.summary.exported?.score), run.statistics ? bytes(run.statistics.quantized_bytes) : "–", fixed(run.summary.seconds, 1)]), "runs")));
  if (differences.length) root.append(section("What differs between the recipes", table([["key"], ...runs.map((run) => [run.name])], differences.map(({ key, values }) => [key, ...values.map((value) => value ?? "–")]), "differences")));
}
if (advice.length) root.append(section("What to try next", ...advice.flatMap(({ text, recipe }) => [element("p", { text }), element("pre", { tabindex: "0", text: recipe })])));
root.append(...curves());
const [first] = runs;
const shown = rows(first.summary);
if (shown.length) root.append(section("Networks", table([["network"], [figure(shown[0][1])?.name ?? "score", 1], ["images", 1]], shown.map(([name, score]) => [name, words(score), counted(score.images ?? 0)]), "networks")));
if (first.statistics) root.append(network(first.statistics));
root.append(checks(first.summary));
root.append(section("Recipe", element("details", {}, element("summary", { text: "the effective recipe" }), element("pre", { tabindex: "0", text: first.recipe }))));
