// The table of every layer: sorting, filtering, groups of columns, what a column means.

const LEAD = "in short";
const NOTHING = "No layer passes the filters.";
let table = null;

function fillTable() {
  byId("controls").append(...controls());
  if (!COUNT) {
    byId("grid").append(element("p", {}, "No layer was analysed."));
    return;
  }
  const names = DATA.columns.map((column) => column.name);
  const rows = DATA.titles.map((title, layer) => ({
    layer,
    title,
    ...Object.fromEntries(names.map((name) => [name, DATA.cells[name][layer]])),
  }));
  table = grid(byId("grid"), rows, [
    titleColumn(),
    ...groups().map(([group, columns]) => ({
      title: group,
      columns: columns.map((column) => columnOf(column, group)),
    })),
  ]);
  table.on("dataFiltered", (_, active) => {
    byId("count").textContent =
      active.length === COUNT ? `${plural(COUNT, "layer")}.` : `${active.length} of ${plural(COUNT, "layer")} shown.`;
  });
  table.on("tableBuilt", followAddress);
}

function grid(place, rows, columns) {
  const made = new Tabulator(place, {
    data: rows,
    columns,
    maxHeight: "75vh",
    layout: "fitData",
    keybindings: false,
    autoResize: false,
    printAsHtml: true,
    printRowRange: "active",
    printStyled: false,
    columnDefaults: { headerSortTristate: true, sorterParams: { alignEmptyValues: "bottom" } },
    placeholder: NOTHING,
    placeholderHeaderFilter: NOTHING,
  });
  window.addEventListener("resize", () => made.redraw());
  place.addEventListener("keydown", walkRows);
  return made;
}

function groups() {
  const found = new Map([[LEAD, DATA.leading.map((name) => COLUMN[name])]]);
  for (const column of DATA.columns) {
    if (DATA.leading.includes(column.name)) continue;
    found.set(column.group, [...(found.get(column.group) ?? []), column]);
  }
  return [...found];
}

function titleColumn() {
  return {
    title: "layer",
    field: "title",
    frozen: window.innerWidth > 700,
    width: window.innerWidth > 700 ? 280 : 170,
    sorter: "string",
    headerFilter: "input",
    headerFilterParams: { elementAttributes: { "aria-label": "Filter layer by part of its name" } },
    headerFilterPlaceholder: "part of the name",
    titleFormatter: () => element("button", { type: "button", class: "sort" }, "layer"),
    formatter: (one) =>
      one.getData().layer === null
        ? document.createTextNode(one.getValue())
        : layerLink(one.getData().layer, { title: one.getValue() }),
  };
}

function columnOf(column, group, cells = DATA.cells) {
  const numbers = cells[column.name].every((value) => value === null || typeof value === "number");
  return {
    title: column.name,
    field: column.name,
    visible: group === LEAD,
    hozAlign: numbers ? "right" : "left",
    sorter: numbers ? "number" : "string",
    maxWidth: 320,
    titleFormatter: () =>
      element("button", { type: "button", class: "sort", "aria-description": meaningOf(column) }, column.name),
    headerTooltip: () => explained(column),
    headerFilter: "input",
    headerFilterFunc: numbers ? numberPasses : undefined,
    headerFilterPlaceholder: numbers ? "> 6, 2..4" : "contains",
    headerFilterParams: { elementAttributes: { "aria-label": `Filter ${column.name}` } },
    formatter: column.name === "setol_state" ? stateCell : (one) => document.createTextNode(shown(one.getValue())),
  };
}

const stateCell = (one) =>
  one.getValue() in STATES ? badge(one.getValue()) : document.createTextNode(shown(one.getValue()));
const meaningOf = (column) =>
  [column.meaning, column.unit && `Unit: ${column.unit}`, column.source && `Formula or source: ${column.source}`]
    .filter(Boolean)
    .join(". ");

function explained(column) {
  return element(
    "div",
    { class: "explained" },
    element("strong", {}, column.name),
    element("p", {}, column.meaning),
    column.unit ? element("p", {}, `Unit: ${column.unit}`) : null,
    column.source ? element("p", {}, `Formula or source: ${column.source}`) : null,
  );
}

// "> 6", "<=2", "2..4", "= 3"; anything else is looked for in the digits.
function numberPasses(wanted, value) {
  const range = wanted.match(/^\s*(-?[\d.e+-]+)\s*\.\.\s*(-?[\d.e+-]+)\s*$/i);
  if (range) return value !== null && value >= Number(range[1]) && value <= Number(range[2]);
  const rule = wanted.match(/^\s*(>=|<=|>|<|=)\s*(-?[\d.e+-]+)\s*$/i);
  if (!rule) return /^\s*[<>=]/.test(wanted) || String(value ?? "").includes(wanted.trim());
  const limit = Number(rule[2]);
  return (
    value !== null &&
    { ">": value > limit, "<": value < limit, ">=": value >= limit, "<=": value <= limit, "=": value === limit }[
      rule[1]
    ]
  );
}

function controls() {
  const search = element("input", { type: "search", id: "search", placeholder: "name, kind, flag or class" });
  const state = element(
    "select",
    { id: "state" },
    element("option", { value: "" }, "every state"),
    ...Object.keys(STATES).map((word) => element("option", { value: word }, word)),
  );
  const passes = (row) =>
    (!state.value || row.setol_state === state.value) &&
    [row.title, DATA.kinds[row.layer], row.setol_flags, row.universality_class].some((text) =>
      (text ?? "").toLowerCase().includes(search.value.toLowerCase()),
    );
  const apply = () => table?.setFilter(passes);
  search.addEventListener("input", apply);
  state.addEventListener("change", apply);
  const reset = element("button", { type: "button" }, "Reset");
  reset.addEventListener("click", () => {
    search.value = state.value = "";
    table?.clearFilter(true);
    table?.clearHeaderFilter();
    table?.clearSort();
  });
  const boxes = groups().map(([group, columns]) => groupBox(group, columns));
  return [
    element(
      "p",
      { class: "row" },
      element("label", { for: "search" }, "Find "),
      search,
      element("label", { for: "state" }, "State "),
      state,
      reset,
    ),
    element("fieldset", {}, element("legend", {}, "Columns"), ...boxes),
    element(
      "p",
      { class: "quiet" },
      "A head sorts; its meaning, unit and formula are shown on hover and below. A name opens its layer. Numbers have five digits here; the results file has all.",
    ),
  ];
}

function groupBox(group, columns) {
  const box = element("input", { type: "checkbox", checked: group === LEAD });
  box.addEventListener("change", () => {
    for (const column of columns) table?.[box.checked ? "showColumn" : "hideColumn"](column.name);
  });
  return element("label", {}, box, ` ${group} (${columns.length})`);
}

// Arrow keys go from name to name; the table keeps rows beyond the edge at hand.
function walkRows(event) {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const next = step && event.target.closest("a[href^='#layer-']")?.closest(".tabulator-row")[step]?.querySelector("a");
  if (!next) return;
  event.preventDefault();
  next.focus();
}
