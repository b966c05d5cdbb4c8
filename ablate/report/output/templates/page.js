"use strict";
// A click on a column's head sorts its table: numbers by value, without one last; words by the alphabet.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const number = cell => cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
    const compare = (one, other) => {
      const a = one.cells[head.cellIndex], b = other.cells[head.cellIndex], x = number(a), y = number(b);
      if (isNaN(x) && isNaN(y)) return (up ? 1 : -1) * a.textContent.localeCompare(b.textContent, undefined, {numeric: true});
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return up ? x - y : y - x;
    };
    for (const body of head.closest("table").tBodies) body.append(...[...body.rows].sort(compare));
  });
}

// A link opens the part that it leads into; one of a number marks all the runs that the number rests on.
const reach = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reach);
reach();
document.addEventListener("click", event => {
  const link = event.target.closest("a");
  if (!link) return;
  if (link.dataset.runs) {
    for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
    for (const run of link.dataset.runs.split(" ")) document.getElementById("run-" + run).classList.add("chosen");
  }
  if (link.hash === location.hash) reach();
});

// The contents follow what is read.
const entries = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const seen = new Set();
const watch = new IntersectionObserver(changes => {
  for (const {target, isIntersecting} of changes) seen[isIntersecting ? "add" : "delete"](target.id);
  const current = [...entries.keys()].find(id => seen.has(id));
  for (const [id, link] of entries) id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}, {rootMargin: "-60px 0px -40% 0px"});
for (const id of entries.keys()) watch.observe(document.getElementById(id));

// Paper has no folds.
let folded = [];
addEventListener("beforeprint", () => { folded = [...document.querySelectorAll("details:not([open])")]; for (const part of folded) part.open = true; });
addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

// Learning curves: a metric and a data set of choice, and the values at an epoch, by pointer or by the slider.
const make = (name, attributes, parent, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
};
const ticks = (low, high, most) => {
  const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(each => each >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({length: Math.floor(high / step + 1e-9) - first + 1}, (_, n) => Number(((first + n) * step).toPrecision(9)));
};
const minus = text => text.replace("-", "−");
for (const figure of document.querySelectorAll("figure.curves")) {
  const {panels, styles} = JSON.parse(figure.querySelector("script").textContent);
  const [metric, data] = figure.querySelectorAll("select"), slider = figure.querySelector("input");
  const said = figure.querySelector("output"), drawing = figure.querySelector("svg"), legend = figure.querySelector("ul");
  const dashes = {"--": "7 4", "-.": "7 3 1.5 3", ":": "1.5 3"};
  for (const [select, key] of [[metric, "metric"], [data, "data"]]) {
    const names = [...new Set(panels.map(panel => panel[key]))];
    for (const name of names) select.add(new Option(name));
    if (names.length < 2) select.parentElement.hidden = true;
    select.addEventListener("change", () => draw());
  }
  let shown, column, left = 52, cross, width;
  const place = epoch => shown.last === 1 ? (left + width - 12) / 2 : left + (epoch - 1) / (shown.last - 1) * (width - 12 - left);
  const values = () => {
    const epoch = Number(slider.value), unit = shown.unit && " " + shown.unit;
    cross.setAttribute("x1", place(epoch));
    cross.setAttribute("x2", place(epoch));
    said.textContent = `epoch ${epoch} of ${shown.last}`;
    shown.series.forEach((each, number) => {
      const [mean, low, high] = ["mean", "min", "max"].map(key => each[key][epoch - 1]);
      const text = mean == null ? "–" : `${mean}${unit}${low === high ? "" : ` (${low} to ${high})`}`;
      legend.children[number].lastChild.textContent = minus(`${each.name}: `) + minus(text);
    });
  };
  const draw = () => {
    const panel = panels.find(each => each.metric === metric.value && each.data === data.value);
    const epoch = shown ? Number(slider.value) : Infinity;
    shown = {...panel, last: Math.max(...panel.series.map(each => each.mean.length))};
    width = Math.max(260, figure.clientWidth);
    const height = Math.round(Math.min(380, Math.max(230, width * 0.42))), bottom = height - 34;
    const all = panel.series.flatMap(each => [...each.min, ...each.max]).filter(value => value != null);
    const low = Math.min(...all), high = Math.max(...all), pad = (high - low) * 0.04 || Math.abs(high) * 0.05 || 1;
    const up = value => bottom - (value - low + pad) / (high - low + 2 * pad) * (bottom - 10);
    const path = list => list.map((value, n) => value == null ? "" : `${n && list[n - 1] != null ? "L" : "M"}${place(n + 1).toFixed(1)} ${up(value).toFixed(1)}`).join("");
    drawing.replaceChildren();
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const value of ticks(low - pad, high + pad, 6)) {
      make("line", {class: "grid", x1: left, x2: width - 12, y1: up(value), y2: up(value)}, drawing);
      make("text", {x: left - 8, y: up(value) + 4, "text-anchor": "end"}, drawing, minus(String(value)));
    }
    for (const epoch of ticks(1, shown.last, Math.min(10, width / 70))) if (Number.isInteger(epoch) && epoch >= 1)
      make("text", {x: place(epoch), y: bottom + 17, "text-anchor": "middle"}, drawing, epoch);
    make("text", {x: width - 12, y: height - 3, "text-anchor": "end"}, drawing, "epoch");
    make("text", {x: left - 8, y: height - 3, "text-anchor": "end"}, drawing, panel.unit);
    for (const each of panel.series) {
      const [colour, line] = styles[each.name];
      if (each.mean.length > 1) {
        const back = each.min.map((value, n) => value == null ? "" : `L${place(n + 1).toFixed(1)} ${up(value).toFixed(1)}`).reverse().join("");
        make("path", {d: path(each.max) + back + "Z", fill: colour, opacity: 0.14}, drawing);
        for (const run of each.runs) make("path", {d: path(run), fill: "none", stroke: colour, "stroke-width": 0.7, opacity: 0.4}, drawing);
        make("path", {d: path(each.mean), fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes[line] || "none"}, drawing);
      } else for (const [value, r] of [...each.runs.map(run => [run[0], 3]), [each.mean[0], 6]])
        if (value != null) make("circle", {cx: place(1), cy: up(value), r, fill: colour, opacity: 0.8}, drawing);
    }
    cross = make("line", {class: "zero", y1: 10, y2: bottom}, drawing);
    legend.replaceChildren(...panel.series.map(each => {
      const item = document.createElement("li"), swatch = make("svg", {viewBox: "0 0 32 10", "aria-hidden": "true"}, item);
      make("line", {x1: 0, x2: 32, y1: 5, y2: 5, stroke: styles[each.name][0], "stroke-width": 3, "stroke-dasharray": dashes[styles[each.name][1]] || "none"}, swatch);
      item.append(document.createElement("span"));
      return item;
    }));
    slider.max = shown.last;
    slider.value = Math.min(epoch, shown.last);
    values();
  };
  slider.addEventListener("input", values);
  drawing.addEventListener("pointermove", event => {
    const at = (event.offsetX * width / drawing.clientWidth - left) / (width - 12 - left);
    slider.value = Math.round(1 + Math.min(1, Math.max(0, at)) * (shown.last - 1));
    values();
  });
  figure.classList.add("drawn");
  new ResizeObserver(() => { if (figure.clientWidth !== width) draw(); }).observe(figure);
  draw();
}
