// The sections before the table: in short, what to look at first, all layers at a glance.

function fillShort() {
  const told = DATA.summary,
    place = byId("short");
  const share = told.share === null ? "" : `, ${shown(100 * told.share)} % of the weights`;
  const rest = [
    [told.failed, "failed"],
    [told.skipped, "skipped"],
    [told.missing, "not come to yet"],
  ]
    .filter(([count]) => count)
    .map(([count, word]) => `, ${count} ${word}`)
    .join("");
  const calls = told.concerns
    ? `${plural(told.concerns, "layer calls", "layers call")} for a look.`
    : "No layer calls for a look.";
  place.append(element("p", { class: "lead" }, `${plural(told.analyzed, "layer")} analysed${share}${rest}. ${calls}`));
  if (Object.keys(told.states).length) place.append(stateBar(told.states), stateTable(told.states));
  if (told.means.length) place.append(meansOf(told.means));
  place.append(countsOf("Kinds of spectra", told.classes, DATA.classes), countsOf("Also seen", told.flags, DATA.flags));
}

function meansOf(means) {
  const rounded = (value, digits) => shown(Number(value.toPrecision(digits)));
  const items = means.map((mean) =>
    element(
      "li",
      {},
      element("strong", {}, `${mean.label} ${rounded(mean.value, 3)} ± ${rounded(mean.error, 2)}`),
      mean.meaning ? `: ${mean.meaning}` : "",
    ),
  );
  const short = means.map((mean) => `${mean.label} ${rounded(mean.value, 3)}`).join(", ");
  return element("details", {}, element("summary", {}, `Means over layers: ${short}`), element("ul", {}, ...items));
}

function stateBar(states) {
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  for (const [word, count] of Object.entries(states)) {
    const part = element("span", {});
    part.style.flexGrow = count;
    part.style.background = STATES[word].colour;
    bar.append(part);
  }
  return bar;
}

function stateTable(states) {
  const rows = Object.entries(states).map(([word, count]) =>
    element(
      "tr",
      {},
      element("td", { class: "number" }, count),
      element("th", { scope: "row" }, badge(word)),
      element("td", {}, DATA.states[word].meaning),
      element("td", {}, DATA.states[word].next),
    ),
  );
  const head = ["layers", "state", "meaning", "what next"].map((word) => element("th", { scope: "col" }, word));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "States" },
    element(
      "table",
      { class: "plain stack" },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows),
    ),
  );
}

function countsOf(heading, counts, meanings) {
  const items = Object.entries(counts).map(([word, count]) =>
    element("li", {}, element("strong", {}, `${count} ${word}`), meanings[word] ? `: ${meanings[word]}` : ""),
  );
  return items.length
    ? element(
        "details",
        {},
        element(
          "summary",
          {},
          `${heading}: ${Object.entries(counts)
            .map(([word, count]) => `${count} ${word}`)
            .join(", ")}`,
        ),
        element("ul", {}, ...items),
      )
    : "";
}

function fillFirst() {
  const place = byId("first"),
    cards = DATA.looks.filter((look) => "because" in look);
  const calling = DATA.looks.filter((look) => look.why);
  if (!cards.length) {
    place.append(element("p", {}, "There is no layer to look at."));
    return;
  }
  if (!calling.length)
    place.append(
      element(
        "p",
        {},
        "Nothing in these weights calls for a look. For a first impression, the layers whose alpha is furthest out of the usual range:",
      ),
    );
  else
    place.append(
      element("p", {}, "The gravest first. Each says what is the matter, what that rests on, and what to do next."),
    );
  place.append(element("ol", { class: "cards" }, ...cards.map(card)));
  const others = calling.slice(cards.length);
  if (others.length) {
    place.append(
      element(
        "details",
        {},
        element(
          "summary",
          {},
          `${plural(others.length, "more layer")} that ${others.length === 1 ? "calls" : "call"} for a look`,
        ),
        element(
          "ol",
          { start: cards.length + 1 },
          ...others.map((look) => element("li", {}, layerLink(look.layer), `: ${look.why}`)),
        ),
      ),
    );
  }
  if (cards.some((look) => DATA.curves[look.layer])) place.append(pictureKey());
}

function card(look, number) {
  const picture = element("div", { class: "picture" }),
    told = new Set();
  const also = look.also.length ? element("p", { class: "quiet" }, "Also: ", ...chips(look.also)) : null;
  const made = element(
    "li",
    { class: "card" },
    element("h3", {}, `${number + 1}. `, layerLink(look.layer)),
    element("p", { class: "headline" }, stateMark(stateOf(look.layer)), look.headline),
    DATA.curves[look.layer] ? picture : null,
    element("ul", {}, ...look.because.map((sentence) => element("li", {}, ...glossed(sentence, told)))),
    also,
    nextStep(look.layer),
  );
  if (DATA.curves[look.layer]) fitted(picture, (width) => densityChart(look.layer, width, 190));
  return made;
}

function chips(flags) {
  return flags.flatMap((flag, number) => [
    number ? ", " : "",
    element("abbr", { title: DATA.flags[flag] ?? "", tabindex: "0" }, flag),
  ]);
}

function pictureKey() {
  const sample = (line, kind) => {
    const made = element("span", { class: `sample ${kind}`, "aria-hidden": "true" });
    made.style.setProperty("--colour", line.colour);
    return element("li", {}, made, line.label);
  };
  return element(
    "details",
    { open: true, class: "key" },
    element("summary", {}, "What am I looking at?"),
    element(
      "p",
      {},
      ...glossed(
        "Each picture shows how large the eigenvalues of one layer are: left the many small ones, right the few large ones that training made. A straight fall to the right is a power law, and alpha is how steep it is.",
      ),
    ),
    element("ul", {}, sample(LINES.bulk, "area"), sample(LINES.power, "dashed"), sample(LINES.erg, "solid")),
    element(
      "p",
      {},
      ...glossed(
        "In an ideal layer the dashed and the solid line coincide and alpha is 2. A layer that lies within the grey band is hardly more than random numbers.",
      ),
    ),
  );
}

function fillGlance() {
  if (!withNumber("setol_state").length) {
    byId("glance").append(element("p", {}, "There is nothing to see: no layer was analysed."));
    return;
  }
  const legend = element(
    "ul",
    { class: "legend" },
    ...Object.keys(STATES).map((word) => element("li", {}, badge(word))),
  );
  const plane = element("div", { class: "picture" }),
    strips = element("div", { class: "picture" });
  byId("glance").append(
    legend,
    element(
      "div",
      { class: "pair" },
      element(
        "figure",
        {},
        plane,
        element(
          "figcaption",
          {},
          ...glossed(
            "Two measures that know nothing of each other: alpha, the steepness of the power-law tail, and delta, where that tail starts minus where the ERG tail starts. Ideal is alpha = 2 (dashed, upright) and delta = 0 (dashed, across). The numbers 1 to 3 are the layers to look at first. Left of 2 (shaded) is where over-regularized layers lie, right of 6 where under-trained ones do; the mark says what the data could show. Bars are standard errors. A point opens its layer.",
          ),
        ),
      ),
      element(
        "figure",
        {},
        strips,
        element(
          "figcaption",
          {},
          "Across: the number of the layer, from the first to the last, in the order of the table. Look for layers apart from their neighbours.",
        ),
      ),
    ),
  );
  fitted(plane, planeChart);
  fitted(strips, (width) => {
    const drawn = [
      stripChart("tail_alpha", width, {
        label: "alpha (2 is ideal, 2 to 6 is usual)",
        type: "log",
        guides: [2, 6],
        ticks: STRIP_ALPHAS,
      }),
      stripChart("erg_fraction", width, { label: "share of eigenvalues in the ERG tail" }),
      stripChart("q2_norm", width, { label: "layer quality q2_norm", type: "log" }),
    ].filter((strip) => strip.querySelector("a"));
    const traps = withNumber("trap_count").length;
    drawn.push(
      traps
        ? stripChart("trap_count", width, { label: "traps", ticks: 3, tickFormat: "d", interval: 1 })
        : element("p", { class: "quiet" }, "Traps were not looked for: analyse with randomize=True (--randomize)."),
    );
    return element("div", {}, ...drawn);
  });
}

// Draws at the width of its place, when it comes into sight and when the width changes.
function fitted(place, draw) {
  let width = 0;
  const show = () => {
    const now = Math.floor(place.clientWidth);
    if (!now || now === width) return;
    width = now;
    const had = place.contains(document.activeElement);
    place.replaceChildren(draw(width));
    if (had) place.querySelector("a[tabindex='0']")?.focus();
  };
  const seen = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      new ResizeObserver(show).observe(place);
    },
    { rootMargin: "1200px" },
  );
  seen.observe(place);
  window.addEventListener("beforeprint", show);
}
