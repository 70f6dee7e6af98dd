// What became of every tensor, the words, how it was made; then everything in its order.

function fillCoverage() {
  const left = DATA.coverage.filter((row) => row[4] !== "analyzed");
  const place = byId("coverage");
  place.append(
    element(
      "p",
      {},
      left.length
        ? `${left.length} of ${plural(DATA.coverage.length, "weight tensor")} ${left.length === 1 ? "was" : "were"} not analysed.`
        : `All ${plural(DATA.coverage.length, "weight tensor")} were analysed.`,
    ),
  );
  const reasons = d3.rollups(
    left,
    (rows) => rows.map((row) => row[0]),
    (row) => `${row[4]}: ${row[5] || "no reason given"}`,
  );
  place.append(
    element(
      "ul",
      {},
      ...reasons.map(([reason, names]) =>
        element(
          "li",
          {},
          `${reason} (${names.slice(0, 3).join(", ")}${names.length > 3 ? `, and ${names.length - 3} more` : ""})`,
        ),
      ),
    ),
  );
  const all = element(
    "details",
    { class: "long" },
    element("summary", {}, `All ${plural(DATA.coverage.length, "tensor")}`),
  );
  all.addEventListener("toggle", () => {
    if (all.open && !all.querySelector("table"))
      all.append(plainTable(["tensor", "shape", "type", "weights", "status", "remark"], DATA.coverage));
  });
  place.append(all);
}

function plainTable(heads, rows) {
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": heads[0] },
    element(
      "table",
      { class: "plain" },
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element(
        "tbody",
        {},
        ...rows.map((row) => element("tr", {}, ...row.map((value) => element("td", {}, shown(value))))),
      ),
    ),
  );
}

function fillWords() {
  const terms = Object.entries(DATA.glossary).flatMap(([word, meaning]) => [
    element("dt", {}, word),
    element("dd", {}, meaning),
  ]);
  const columns = DATA.columns.map((column) => [column.name, column.group, column.unit, column.meaning, column.source]);
  byId("words").append(
    element("dl", {}, ...terms),
    element(
      "details",
      { class: "long" },
      element("summary", {}, `All ${columns.length} columns: group, unit, meaning, formula or source`),
      plainTable(["column", "group", "unit", "meaning", "formula or source"], columns),
    ),
  );
}

function fillMade() {
  byId("made").append(
    element(
      "p",
      {},
      "By setol-ww, from the weights alone: no data were used, and this page loads nothing from anywhere.",
    ),
    element(
      "table",
      { class: "plain" },
      element(
        "tbody",
        {},
        ...DATA.provenance.map(([name, value]) =>
          element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)),
        ),
      ),
    ),
  );
}

function listenToTheme() {
  const button = byId("theme"),
    root = document.documentElement;
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const told = () => button.setAttribute("aria-pressed", String(dark()));
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    told();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", told);
  told();
}

// What is folded in is printed too, but for the long lists.
function listenToPrint() {
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.long)")];
    for (const one of folded) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
}

byId("name").textContent = DATA.name;
listenToTheme();
fillShort();
fillFirst();
fillCompared();
fillGlance();
fillTable();
fillCoverage();
fillWords();
fillMade();
listenToPanel();
listenToPrint();
