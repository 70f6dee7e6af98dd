// What changed between two models.

function fillCompared() {
  const told = DATA.compared;
  if (!told) return;
  const place = byId("compared");
  place.hidden = false;
  const words = ["state changed", "class changed", "flags added"]
    .filter((word) => told.counts[word])
    .map((word) => `${told.counts[word]} ${word}`);
  place.append(
    element(
      "p",
      { class: "lead" },
      `${plural(told.rows, "layer")} held against ${told.names[0] || "nothing"}. ${changedWords(told, words)}`,
    ),
    element("ul", {}, ...[...told.changes, ...told.remarks].map((text) => element("li", {}, text))),
  );
  if (told.looks.length) {
    place.append(
      element("h3", {}, "What changed most"),
      element(
        "ol",
        {},
        ...told.looks
          .slice(0, 5)
          .map(([layer, title, why]) => element("li", {}, layer === null ? title : layerLink(layer), `: ${why}`)),
      ),
    );
  }
  if (told.cells.d_tail_alpha?.some((value) => value !== null)) {
    const picture = element("div", { class: "picture" });
    place.append(
      element(
        "figure",
        {},
        picture,
        element(
          "figcaption",
          {},
          "Change of alpha in each layer, from the first to the last; bars are half the 90 % interval. Where a bar crosses 0 the change cannot be told from none.",
        ),
      ),
    );
    fitted(picture, changeChart);
  }
  place.append(changeTable(told));
  if (told.unmatched.length) {
    place.append(
      element(
        "details",
        {},
        element("summary", {}, `${plural(told.unmatched.length, "layer")} not compared`),
        plainTable(["layer", "in", "shape", "reason"], told.unmatched),
      ),
    );
  }
}

function changedWords(told, words) {
  if (told.same === told.rows) return "They are the same, bit for bit.";
  const beyond = told.counts.beyond;
  if (!beyond && !words.length) return "No layer's spectrum can be told from before.";
  return [`Alpha moved beyond its error in ${beyond} of them`, ...words].join(", ") + ".";
}

function changeChart(width) {
  const told = DATA.compared,
    moved = told.cells.d_tail_alpha,
    error = told.cells.d_tail_alpha_error ?? [];
  const rows = d3.range(told.rows).filter((row) => moved[row] !== null && told.layers[row] !== null);
  const layer = (row) => told.layers[row];
  return overview(
    {
      width,
      height: 200,
      x: { label: null, domain: [0.5, COUNT + 0.5], tickFormat: "d", ticks: Math.min(COUNT, width / 70) },
      y: { label: "change of alpha", nice: true, ticks: 5, tickFormat: "~g" },
      marks: [
        Plot.ruleY([0], { stroke: "currentColor", strokeDasharray: "3 3" }),
        Plot.ruleX(rows, {
          x: (row) => layer(row) + 1,
          y1: (row) => moved[row] - (error[row] ?? 0),
          y2: (row) => moved[row] + (error[row] ?? 0),
          stroke: "currentColor",
          strokeOpacity: 0.35,
        }),
        points(
          rows.map(layer),
          (at) => at + 1,
          (at) => moved[told.layers.indexOf(at)],
          "change of alpha",
        ),
      ],
    },
    "Change of alpha over depth. Arrow keys go from layer to layer, Enter opens one",
  );
}

function changeTable(told) {
  const rows = d3.range(told.rows).map((row) => ({
    row,
    title: told.titles[row],
    layer: told.layers[row],
    ...Object.fromEntries(told.columns.map(({ name }) => [name, told.cells[name][row]])),
  }));
  const place = element("div", { id: "changes" }),
    folded = element(
      "details",
      { class: "long" },
      element("summary", {}, `Every change (${plural(told.columns.length, "column")})`),
      place,
    );
  folded.addEventListener("toggle", () => {
    if (place.hasChildNodes()) return;
    const inner = element("div", {});
    place.append(inner);
    grid(inner, rows, [
      titleColumn(),
      ...told.columns.map((column) =>
        columnOf({ ...column, group: "changes", unit: "", source: "" }, LEAD, told.cells),
      ),
    ]);
  });
  return folded;
}
