// Data of the page, elements, numbers. Text from the data is only ever set as text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const COUNT = DATA.titles.length;
const COLUMN = Object.fromEntries(DATA.columns.map((column) => [column.name, column]));
const STATES = Object.fromEntries(
  Object.entries(DATA.states).map(([word, { mark }]) => [
    word,
    { colour: `var(--${word})`, symbol: d3[`symbol${mark[0].toUpperCase()}${mark.slice(1)}`], name: mark },
  ]),
);

const byId = (id) => document.getElementById(id);
const cell = (name, layer) => DATA.cells[name]?.[layer] ?? null;
const stateOf = (layer) => cell("setol_state", layer) ?? "undetermined";
const addressOf = (layer) => `#layer-${layer + 1}`;
const flagsOf = (layer) => (cell("setol_flags", layer) ?? "").split(", ").filter(Boolean);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function shown(value) {
  if (value === null || value === "") return "–";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

function withError(layer, name = "tail_alpha", error = "tail_sigma") {
  const value = cell(name, layer),
    sigma = cell(error, layer);
  if (value === null) return "–";
  return value.toFixed(2) + (sigma === null ? "" : ` ± ${sigma.toFixed(2)}`);
}

function unpacked(told) {
  const bytes = Uint8Array.from(atob(told.steps), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const unit = (told.to - told.from) / 65535;
  return Array.from({ length: bytes.length / 2 }, (_, i) => told.from + unit * view.getUint16(2 * i, true));
}

function stateMark(word) {
  const state = STATES[word];
  const svg = d3.create("svg").attr("viewBox", "-8 -8 16 16").attr("class", "mark").attr("aria-hidden", "true");
  svg.append("path").attr("d", d3.symbol(state.symbol, 90)()).attr("fill", state.colour);
  return svg.node();
}

function badge(word) {
  return element("span", { class: "badge", title: DATA.states[word].meaning }, stateMark(word), word);
}

function nextStep(layer) {
  const step = DATA.steps[DATA.step[layer]];
  return step ? element("p", {}, element("strong", {}, "Next: "), step) : "";
}

function layerLink(layer, attributes = {}) {
  return element("a", { href: addressOf(layer), ...attributes }, DATA.titles[layer]);
}

// Text with the terms of the glossary explained where they stand, each once.
const TERMS = new Map(
  Object.entries(DATA.glossary)
    .filter(([word]) => !["layer", "±", "unit mean"].includes(word))
    .map(([word, meaning]) => [word.split(", ")[0].toLowerCase(), meaning]),
);
const TERM = new RegExp(`\\b(${[...TERMS.keys()].sort((a, b) => b.length - a.length).join("|")})(?=s?\\b)`, "i");

function glossed(text, told = new Set()) {
  const parts = [];
  for (let rest = text; rest;) {
    const found = rest.match(TERM);
    if (!found) return [...parts, rest];
    const word = found[0].toLowerCase(),
      end = found.index + found[0].length;
    parts.push(
      rest.slice(0, found.index),
      told.has(word) ? found[0] : element("abbr", { title: TERMS.get(word) }, found[0]),
    );
    told.add(word);
    rest = rest.slice(end);
  }
  return parts;
}

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
