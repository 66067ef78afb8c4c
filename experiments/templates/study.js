"use strict";
document.documentElement.classList.add("live");
const CONFIG = {displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"],
                toImageButtonOptions: {format: "svg"}};
const SIGNED = [[0, "#542788"], [0.25, "#998ec3"], [0.5, "#f7f7f7"], [0.75, "#f1a340"], [1, "#b35806"]];
const table = box => JSON.parse(box.querySelector("script[type='application/json']").textContent);

// One after the other, and a fault of one stops no other.
let turn = Promise.resolve();
const next = work => {
  turn = turn.then(() => new Promise(rest => setTimeout(rest, 0))).then(work).catch(console.error);
};
document.querySelectorAll(".chart").forEach(box => next(() => {
  const chart = table(box);
  return Plotly.newPlot(box.querySelector(".plot"), chart.data, chart.layout, CONFIG);
}));

// Views in three dimensions come when they are near the window and go when they leave it: a browser keeps few.
const near = new IntersectionObserver(entries => entries.forEach(entry => {
  const box = entry.target, plot = box.querySelector(".plot");
  next(() => entry.isIntersecting ? view(box, plot) : Plotly.purge(plot));
}), {rootMargin: "300px"});

function decoded(text) {
  return Int8Array.from(atob(text), c => c.charCodeAt(0));
}

function relief(u, values) {
  const n = u.count, line = k => Array.from({length: n}, (_, i) => u.low[k] + (u.high[k] - u.low[k]) * (i + 0.5) / n);
  const z = Array.from({length: n}, (_, j) => Array.from({length: n}, (_, i) => values[i * n + j] * u.largest / 127));
  return {type: "surface", x: line(0), y: line(1), z, cmin: 0, cmax: u.largest, colorscale: "Viridis"};
}

function surfaces(u, values, level) {
  const n = u.count, x = [], y = [], z = [], value = [], at = [x, y, z];
  for (let i = -1; i <= n; i++) for (let j = -1; j <= n; j++) for (let k = -1; k <= n; k++) {
    [i, j, k].forEach((m, a) => at[a].push(u.low[a] + (u.high[a] - u.low[a]) * (m + 0.5) / n));
    const inside = Math.min(i, j, k) >= 0 && Math.max(i, j, k) < n;
    value.push(inside ? values[(i * n + j) * n + k] * u.largest / 127 : 0);
  }
  const off = {show: false};
  return {type: "isosurface", x, y, z, value, isomin: u.signed ? -level : level, isomax: u.signed ? level : u.largest,
          surface: {count: 2}, caps: {x: off, y: off, z: off}, opacity: 0.75, flatshading: true,
          cmin: u.signed ? -u.largest : 0, cmax: u.largest, colorscale: u.signed ? SIGNED : "Viridis"};
}

function view(box, plot) {
  const u = box.unknown ??= table(box), [sample, share] = box.querySelectorAll("select");
  const draw = () => {
    const values = u.values.map(found => decoded(found[sample.value]));
    const level = share ? share.value * Math.max(...values[0].map(Math.abs)) * u.largest / 127 : 0;
    const camera = plot._fullLayout?.scene?.camera ?? {eye: {x: 1.55, y: -1.75, z: 1.05}, center: {x: 0, y: 0, z: -0.12}};
    const layout = {height: 380, margin: {l: 0, r: 0, t: 40, b: 0}, annotations: [], font: {size: 11}};
    const data = u.names.map((name, k) => {
      const scene = k ? `scene${k + 1}` : "scene", width = 0.94 / u.names.length;
      const axis = (a, title) => ({title: {text: title}, range: [u.low[a], u.high[a]]});
      layout[scene] = {domain: {x: [k * width, (k + 1) * width - 0.01]}, camera, aspectmode: u.flat ? "manual" : "cube",
                       aspectratio: u.flat ? {x: 1, y: 1, z: 0.5} : undefined, xaxis: axis(0, "x in m"), yaxis: axis(1, "y in m"),
                       zaxis: u.flat ? {title: {text: ""}, range: [0, u.largest]} : axis(2, "z in m")};
      layout.annotations.push({text: name, x: (k + 0.5) * width, y: 1, xref: "paper", yref: "paper", showarrow: false,
                               yanchor: "bottom", font: {size: 13}});
      return {...(u.flat ? relief(u, values[k]) : surfaces(u, values[k], level)), scene, showscale: k === 0,
              colorbar: {x: 0.94, thickness: 12, len: 0.8, title: {text: u.label, side: "right", font: {size: 11}}},
              hovertemplate: "%{x:.2f}, %{y:.2f} m: " + (u.flat ? "%{z:.3g}" : "%{value:.3g}") + "<extra></extra>"};
    });
    return Plotly.react(plot, data, layout, CONFIG);
  };
  [sample, share].forEach(choice => { if (choice) choice.onchange = draw; });
  return draw().then(() => plot.on("plotly_relayout", change => { // one view turns, all turn
    const moved = Object.keys(change).find(key => /^scene\d*\.camera$/.test(key));
    if (!moved || plot.turning) return;
    plot.turning = true;
    const all = Object.fromEntries(u.names.map((_, k) => [`${k ? `scene${k + 1}` : "scene"}.camera`, change[moved]]));
    Plotly.relayout(plot, all).then(() => { plot.turning = false; });
  }));
}

document.querySelectorAll(".unknowns").forEach(box => near.observe(box));
