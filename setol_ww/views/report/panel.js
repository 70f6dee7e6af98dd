// One layer: its state in words, its pictures, all its numbers. Opened by #layer-N, closed by Escape.

const panel = byId("panel");

function openLayer(layer) {
  panel.replaceChildren(...panelParts(layer));
  panel.dataset.address = addressOf(layer);
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  for (const [place, draw] of picturesOf(layer))
    panel.querySelector(`.${place}`)?.replaceChildren(draw(layer, panel.querySelector(`.${place}`).clientWidth, 240));
  byId("panel-title").focus();
}

const picturesOf = (layer) =>
  DATA.curves[layer]
    ? [
        ["density", densityChart],
        ["tail", tailChart],
        ["log-det", logDetChart],
      ]
    : [];

function panelParts(layer) {
  const order = table.getRows("active").map((row) => row.getData().layer);
  const at = order.indexOf(layer);
  const step = (to, label) => {
    const button = element("button", { type: "button", disabled: to === undefined }, label);
    button.addEventListener("click", () => location.replace(addressOf(to)));
    return button;
  };
  const close = element("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => panel.close());
  return [
    element(
      "div",
      { class: "panel-head" },
      element("h2", { id: "panel-title", tabindex: "-1" }, DATA.titles[layer]),
      element(
        "div",
        { class: "row" },
        step(at < 0 ? undefined : order[at - 1], "Previous"),
        step(at < 0 ? undefined : order[at + 1], "Next"),
        close,
      ),
    ),
    ...reasonsOf(layer),
    ...(hasFailed(layer) ? [] : figuresOf(layer)),
    ...numbersOf(layer),
  ];
}

const hasFailed = (layer) => cell("setol_state", layer) === null;

function reasonsOf(layer) {
  if (hasFailed(layer))
    return [
      element("p", { class: "headline" }, "It could not be analysed: ", cell("reason", layer) ?? ""),
      nextStep(layer),
    ];
  const word = stateOf(layer),
    flags = flagsOf(layer),
    kind = cell("universality_class", layer),
    layout = cell("layout", layer),
    remark = cell("reason", layer);
  const size =
    `${shown(cell("N", layer))} x ${shown(cell("M", layer))}` +
    (cell("rf", layer) > 1 ? `, ${shown(cell("rf", layer))} slices` : "");
  return [
    element("p", { class: "headline" }, badge(word), `: ${DATA.states[word].meaning}`),
    element(
      "p",
      {},
      `Kind: ${DATA.kinds[layer]}${layout && layout !== "dense" && !(cell("rf", layer) > 1) ? `, ${layout}` : ""}. Size ${size}. Spectrum ${kind ?? "not classified"}${DATA.classes[kind] ? `: ${DATA.classes[kind]}` : ""}. Alpha ${withError(layer)}.`,
    ),
    nextStep(layer),
    remark ? element("p", { class: "quiet" }, `Remark: ${remark}`) : "",
    flags.length
      ? element(
          "ul",
          {},
          ...flags.map((flag) =>
            element("li", {}, element("strong", {}, flag), DATA.flags[flag] ? `: ${DATA.flags[flag]}` : ""),
          ),
        )
      : "",
    DATA.reasons[layer]
      ? element(
          "details",
          { open: true },
          element("summary", {}, "The numbers this rests on"),
          element("p", {}, DATA.reasons[layer]),
        )
      : "",
  ];
}

function figuresOf(layer) {
  if (!DATA.curves[layer])
    return [element("p", {}, "There is nothing to draw: it has no two distinct positive eigenvalues.")];
  const figure = (place, caption) =>
    element("figure", {}, element("div", { class: `picture ${place}` }), element("figcaption", {}, caption));
  return [
    element(
      "div",
      { class: "figures" },
      figure(
        "density",
        "The spectrum: how many eigenvalues there are of each size. Straight on the right is a power law.",
      ),
      figure(
        "tail",
        "Share of eigenvalues as large or larger. Where the data leave the straight line, the power law does not hold.",
      ),
      figure(
        "log-det",
        `Logarithm of the product of the k largest eigenvalues. Solid: it is back at 0 for k* = ${shown(cell("erg_rank", layer))}, with ${shown(cell("erg_log_det", layer))} left over. Dashed: the power-law tail ends at k = ${shown(cell("tail_rank", layer))}. In an ideal layer they are the same.`,
      ),
    ),
    pictureKey(),
  ];
}

function numbersOf(layer) {
  return groups().map(([group, columns]) => {
    const rows = columns.map((column) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, column.name),
        element("td", { class: "number" }, shown(cell(column.name, layer))),
        element("td", {}, column.unit),
        element("td", { class: "quiet" }, column.meaning),
      ),
    );
    return element(
      "details",
      { open: group === LEAD },
      element("summary", {}, `Numbers: ${group}`),
      element("div", { class: "scroll" }, element("table", { class: "plain" }, element("tbody", {}, ...rows))),
    );
  });
}

function followAddress() {
  const found = location.hash.match(/^#layer-(\d+)$/);
  const layer = found ? Number(found[1]) - 1 : -1;
  if (layer >= 0 && layer < COUNT) openLayer(layer);
  else if (panel.open) panel.close();
}

// Following an address takes the focus from the link; closing gives it back.
function listenToPanel() {
  let opener = null;
  document.addEventListener(
    "click",
    (event) => {
      opener = event.target.closest("main a[href^='#layer-'], main svg a") ?? opener;
    },
    true,
  );
  // The event comes late: another layer may have been asked for by then.
  panel.addEventListener("close", () => {
    if (location.hash !== panel.dataset.address) return;
    opener?.focus();
    history.replaceState(null, "", location.pathname + location.search);
  });
  panel.addEventListener("click", (event) => {
    if (event.target === panel) panel.close();
  });
  window.addEventListener("hashchange", followAddress);
}
