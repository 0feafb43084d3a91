"use strict";
const root = document.documentElement;
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const figures = read("figures");

const likesDark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  document.querySelectorAll(".chart").forEach(draw);
}

// The controls of a chart choose its figure, one level of the figures each.
function draw(chart) {
  let figure = figures[chart.dataset.figures];
  for (const control of chart.querySelectorAll("select, input:checked")) figure = figure[control.value];
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--soft"), linecolor: color("--line") };
  const layout = {
    ...figure.layout,
    font: { color: color("--text"), family: "system-ui, sans-serif", size: 13 },
    hoverlabel: { bgcolor: color("--card"), bordercolor: color("--line"), font: { color: color("--text") } },
    xaxis: { ...figure.layout.xaxis, ...axis },
    yaxis: { ...figure.layout.yaxis, ...axis },
  };
  Plotly.react(chart.querySelector(".plot"), figure.data, layout, { responsive: true, displayModeBar: false });
}

document.querySelectorAll(".chart").forEach((chart) => chart.addEventListener("change", () => draw(chart)));
document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
likesDark.addEventListener("change", (event) => setTheme(event.matches));
setTheme(likesDark.matches);

const panels = document.getElementById("panels");
if (panels) {
  const { files, images, methods } = read("pictures");
  const byId = (id) => document.getElementById(id);
  const picture = byId("picture");

  function tile(caption, cells, layer) {
    const figure = document.createElement("figure");
    if (cells && cells[layer]) {
      const stack = document.createElement("div");
      stack.className = "stack";
      for (const [place, what] of [["under", "image"], ["over", layer]]) {
        if (!cells[what]) continue;
        const image = document.createElement("img");
        image.src = files[cells[what]];
        image.alt = `${what}, ${caption}`;
        image.className = ["image", "confidence", "difference"].includes(what) ? place : `${place} mask`;
        if (place === "over") image.style.opacity = byId("opacity").value / 100;
        stack.append(image);
      }
      figure.append(stack);
    }
    const text = document.createElement("figcaption");
    text.textContent = figure.childElementCount ? caption : `${caption}: no picture`;
    figure.append(text);
    return figure;
  }

  function show() {
    const layer = panels.querySelector("input[name=layer]:checked").value;
    const seed = byId("seed") ? byId("seed").value : "0";
    const shown = images[picture.value].cells;
    const any = Object.values(shown).flatMap((seeds) => Object.values(seeds))[0];
    byId("opacity-value").textContent = `${byId("opacity").value} %`;
    byId("tiles").replaceChildren(
      ...(any.truth ? [tile("truth", any, "truth")] : []),
      ...methods.map((method, index) => tile(method, (shown[index] || {})[seed], layer)),
    );
  }

  function go(by) {
    picture.value = (Number(picture.value) + by + images.length) % images.length;
    show();
  }
  byId("previous").addEventListener("click", () => go(-1));
  byId("next").addEventListener("click", () => go(1));
  panels.addEventListener("input", show);
  show();
}
