// The pictures: of one spectrum, and of all layers.

const LINES = {
  power: { colour: "var(--power)", label: "start of the power-law tail, and the fitted power law" },
  erg: { colour: "var(--erg)", label: "start of the ERG tail (product of the eigenvalues from here on is 1)" },
  bulk: { colour: "var(--bulk)", label: "where random numbers of the same spread would lie (the bulk)" },
};
const curveOf = (() => {
  const made = new Map();
  return (layer) => {
    if (!made.has(layer)) {
      const told = DATA.curves[layer];
      made.set(layer, told && { ...told, x: unpacked(told.log_x).map(Math.exp), S: unpacked(told.log_det) });
    }
    return made.get(layer);
  };
})();

function drawn(options, label) {
  const svg = Plot.plot({
    style: { background: "none", fontSize: "12px" },
    marginLeft: 52,
    marginBottom: 40,
    ...options,
    x: { labelOffset: 36, ...options.x },
  });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

function starts(layer) {
  return [
    Plot.ruleX([cell("pl_lambda_min", layer)].filter(Number.isFinite), {
      stroke: LINES.power.colour,
      strokeWidth: 1.5,
      strokeDasharray: "5 3",
    }),
    Plot.ruleX(
      [cell("erg_lambda_min", layer)].filter((x) => x > 0),
      { stroke: LINES.erg.colour, strokeWidth: 1.5 },
    ),
  ];
}

function bulkBand(layer, from) {
  const low = cell("bulk_lambda_minus", layer),
    high = cell("bulk_lambda_plus", layer);
  return high === null ? [] : [Plot.rectX([0], { x1: Math.max(low, from), x2: high, fill: LINES.bulk.colour })];
}

function powerLaw(layer, slope, factor) {
  const start = cell("pl_lambda_min", layer),
    alpha = cell("tail_alpha", layer),
    curve = curveOf(layer);
  if (start === null || alpha === null) return [];
  const share = cell("tail_rank", layer) / curve.n;
  const at = (x) => ({ x, y: share * factor(alpha, start) * (x / start) ** slope(alpha) });
  return [
    Plot.line([at(start), at(curve.x[0])], { x: "x", y: "y", stroke: LINES.power.colour, strokeWidth: 2, clip: true }),
  ];
}

function densityChart(layer, width, height = 230) {
  const curve = curveOf(layer),
    [low, high] = curve.ends,
    step = (high - low) / curve.bins.length;
  const bars = curve.bins
    .map((count, i) => {
      const x1 = Math.exp(low + i * step),
        x2 = Math.exp(low + (i + 1) * step);
      return { x1, x2, y: count / curve.n / (x2 - x1) };
    })
    .filter((bar) => bar.y > 0);
  const [least, most] = d3.extent(bars, (bar) => bar.y),
    floor = least / 2;
  return drawn(
    {
      width,
      height,
      x: { type: "log", label: "eigenvalue (mean = 1)", tickFormat: "~g" },
      y: { type: "log", label: "density", domain: [floor, 2 * most], tickFormat: "~g", ticks: 5 },
      marks: [
        ...bulkBand(layer, Math.exp(low)),
        Plot.rect(bars, {
          x1: "x1",
          x2: "x2",
          y1: floor,
          y2: "y",
          fill: "var(--data)",
          insetLeft: 0.5,
          insetRight: 0.5,
        }),
        ...starts(layer),
        ...powerLaw(
          layer,
          (alpha) => -alpha,
          (alpha, start) => (alpha - 1) / start,
        ),
      ],
    },
    `Density of the eigenvalues of ${DATA.titles[layer]}, both axes logarithmic; alpha ${withError(layer)}`,
  );
}

function tailChart(layer, width, height = 230) {
  const curve = curveOf(layer);
  const points = curve.x
    .map((x, i) => ({ x, y: curve.ranks[i] / curve.n }))
    .filter((point) => point.x >= Math.exp(curve.ends[0]));
  return drawn(
    {
      width,
      height,
      x: { type: "log", label: "eigenvalue (mean = 1)", tickFormat: "~g" },
      y: {
        type: "log",
        label: "share of eigenvalues as large",
        domain: [0.5 / curve.n, 1],
        tickFormat: "~g",
        ticks: 5,
      },
      marks: [
        ...bulkBand(layer, Math.exp(curve.ends[0])),
        Plot.line(points, { x: "x", y: "y", stroke: "var(--data)", strokeWidth: 2.5 }),
        ...starts(layer),
        ...powerLaw(
          layer,
          (alpha) => 1 - alpha,
          () => 1,
        ),
      ],
    },
    `Share of eigenvalues above each size in ${DATA.titles[layer]}, with the fitted power law`,
  );
}

function logDetChart(layer, width, height = 230) {
  const curve = curveOf(layer),
    rank = cell("erg_rank", layer),
    tail = cell("tail_rank", layer);
  return drawn(
    {
      width,
      height,
      x: { label: "number k of leading eigenvalues" },
      y: { label: "logarithm of their product", nice: true, ticks: 5 },
      marks: [
        Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.5 }),
        Plot.line(curve.S, { x: curve.ranks, y: Plot.identity, stroke: "var(--data)", strokeWidth: 2.5 }),
        Plot.ruleX([tail].filter(Number.isFinite), {
          stroke: LINES.power.colour,
          strokeWidth: 1.5,
          strokeDasharray: "5 3",
        }),
        Plot.ruleX([rank].filter(Number.isFinite), { stroke: LINES.erg.colour, strokeWidth: 1.5 }),
      ],
    },
    `Logarithm of the product of the k largest eigenvalues of ${DATA.titles[layer]}; it returns to 0 at k* = ${shown(rank)}`,
  );
}

// All layers: points that open their layer, by mouse, or by Tab, arrow keys and Enter.

// Smaller points and fainter bars from here on.
const MANY = 400;
const said = (layer) => `${DATA.titles[layer]}\n${DATA.kinds[layer]}, ${stateOf(layer)}, alpha ${withError(layer)}`;

function points(layers, x, y, extra = "") {
  return Plot.dot(layers, {
    x,
    y,
    fill: stateOf,
    symbol: stateOf,
    r: layers.length > MANY ? 3 : 4.5,
    stroke: "var(--paper)",
    strokeWidth: 0.5,
    href: addressOf,
    title: (layer) => said(layer) + (extra && `\n${extra} ${shown(y(layer))}`),
    tip: { lineWidth: 60, fill: "var(--paper)", stroke: "var(--line)" },
  });
}

// The layers to look at first bear their number.
function numbersOfLooks(layers, x, y) {
  const first = DATA.looks.filter((look) => "because" in look).map((look) => look.layer);
  return Plot.text(
    layers.filter((layer) => first.includes(layer)),
    {
      x,
      y,
      text: (layer) => String(first.indexOf(layer) + 1),
      dy: -11,
      fontWeight: 700,
      fill: "currentColor",
      stroke: "var(--paper)",
    },
  );
}

function overview(options, label) {
  const words = Object.keys(STATES);
  const svg = drawn(
    {
      ...options,
      color: { domain: words, range: words.map((word) => STATES[word].colour) },
      symbol: { domain: words, range: words.map((word) => STATES[word].name) },
    },
    label,
  );
  svg.setAttribute("role", "group");
  return walkable(svg);
}

function walkable(svg) {
  const links = [...svg.querySelectorAll("a")];
  links.forEach((link, number) => {
    const layer = Number(link.getAttributeNS("http://www.w3.org/1999/xlink", "href").slice("#layer-".length)) - 1;
    link.setAttribute("aria-label", said(layer));
    link.setAttribute("tabindex", number ? "-1" : "0");
  });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -links.length, End: links.length };
    const at = links.indexOf(document.activeElement);
    if (at < 0 || !(event.key in steps)) return;
    const next = links[Math.max(0, Math.min(links.length - 1, at + steps[event.key]))];
    links[at].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
    event.preventDefault();
  });
  return svg;
}

const ALPHAS = [1.2, 1.5, 2, 3, 4, 6, 10, 20, 40, 100];
const STRIP_ALPHAS = [1.5, 2, 4, 6, 10, 20, 50, 100];
// A few round numbers on a logarithmic axis, each of them labelled.
function fewTicks([low, high]) {
  const decades = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  for (const digits of [[1, 2, 3, 5], [1, 3], [1]]) {
    const ticks = decades.flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)));
    const inside = within(ticks, [low, high]);
    if (inside.length <= 5) return inside;
  }
  return within(decades.filter((_, i) => i % Math.ceil(decades.length / 5) === 0).map((power) => 10 ** power), [low, high]);
}
const within = (values, [low, high]) => values.filter((value) => value >= low && value <= high);
const withNumber = (...names) => d3.range(COUNT).filter((layer) => names.every((name) => cell(name, layer) !== null));

function planeChart(width) {
  const alpha = (layer) => cell("tail_alpha", layer),
    delta = (layer) => cell("delta_lambda_min", layer);
  const layers = withNumber("tail_alpha", "delta_lambda_min");
  const ends = withNumber("delta_low", "delta_high");
  const error = (sign) => (layer) => Math.max(1.01, alpha(layer) + sign * (cell("tail_sigma", layer) ?? 0));
  const faint = { stroke: "currentColor", strokeOpacity: layers.length > MANY ? 0.06 : 0.25 };
  const span = d3.extent([1.7, 7, ...layers.map(error(-1)), ...layers.map(error(1))]);
  // Room below the ideal point for its name.
  const [lowest, highest] = d3.extent([0, ...layers.map(delta)]);
  const room = Math.min(lowest, -0.12 * (highest - lowest || 1));
  return overview(
    {
      width,
      height: Math.min(460, Math.max(320, width * 0.62)),
      x: {
        type: "log",
        label: "alpha, the tail exponent (2 is ideal)",
        domain: span,
        ticks: within(ALPHAS, span),
        tickFormat: "~g",
      },
      y: { label: "delta (0 is ideal)", domain: [room, Math.max(highest, 0.1)], nice: true, inset: 8 },
      marks: [
        Plot.rectX([0], { x1: span[0], x2: 2, fill: "var(--over-regularized)", fillOpacity: 0.07 }),
        Plot.rectX([0], { x1: 6, x2: span[1], fill: "var(--under-trained)", fillOpacity: 0.07 }),
        Plot.ruleY([0], { stroke: "currentColor", strokeDasharray: "3 3" }),
        Plot.ruleX([2], { stroke: "currentColor", strokeDasharray: "3 3" }),
        Plot.dot([0], { x: 2, y: 0, r: 9, stroke: "var(--ideal)", strokeWidth: 2, fill: "none" }),
        Plot.text(["ideal point (2, 0)"], {
          x: 2,
          y: 0,
          dx: 12,
          dy: 14,
          textAnchor: "start",
          fill: "currentColor",
          stroke: "var(--paper)",
          text: Plot.identity,
        }),
        Plot.ruleY(layers, { x1: error(-1), x2: error(1), y: delta, ...faint }),
        Plot.ruleX(ends, { x: alpha, y1: (l) => cell("delta_low", l), y2: (l) => cell("delta_high", l), ...faint }),
        points(layers, alpha, delta, "delta"),
        numbersOfLooks(layers, alpha, delta),
      ],
    },
    `Tail exponent alpha against delta of ${plural(layers.length, "layer")}; ideal is the point (2, 0). Arrow keys go from layer to layer, Enter opens one`,
  );
}

function stripChart(name, width, options) {
  const layers = withNumber(name).filter((layer) => options.type !== "log" || cell(name, layer) > 0);
  const { guides = [], label, ...y } = options;
  const span = d3.extent([...guides, ...layers.map((layer) => cell(name, layer))]);
  if (Array.isArray(y.ticks)) y.ticks = within(y.ticks, span);
  else if (y.type === "log" && span[0] > 0) y.ticks = fewTicks(span);
  return overview(
    {
      width,
      height: 136,
      marginTop: 26,
      marginBottom: 22,
      x: { label: null, domain: [0.5, COUNT + 0.5], tickFormat: "d", ticks: Math.min(COUNT, width / 70) },
      y: { label, ticks: 4, tickFormat: "~g", inset: 6, ...y },
      marks: [
        Plot.ruleY(guides, { stroke: "currentColor", strokeOpacity: 0.4, strokeDasharray: "3 3" }),
        points(
          layers,
          (layer) => layer + 1,
          (layer) => cell(name, layer),
          name,
        ),
        numbersOfLooks(
          layers,
          (layer) => layer + 1,
          (layer) => cell(name, layer),
        ),
      ],
    },
    `${label} over depth, from the first layer to the last. Arrow keys go from layer to layer, Enter opens one`,
  );
}
