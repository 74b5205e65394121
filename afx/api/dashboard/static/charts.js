// The charts of the analytics page, by uPlot; colours are those of the theme.
(() => {
  const place = document.getElementById("charts");
  if (!place) return;
  const data = JSON.parse(place.dataset.charts);
  const charts = [];
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function resolved(name) {
    // light-dark() is resolved by an element, not by the custom property.
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found || colour(name);
  }
  function draw() {
    for (const it of charts.splice(0)) it.destroy();
    const ink = resolved("--ink-3"), line = resolved("--line"), stroke = resolved("--data-1");
    for (const plot of place.querySelectorAll(".plot")) {
      const key = plot.dataset.series, unit = plot.dataset.unit;
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      charts.push(new uPlot({
        width: plot.clientWidth, height: plot.clientHeight || 180,
        legend: { show: false }, cursor: { y: false },
        scales: { x: { range: (_, first, last) => (first < last ? [first, last] : [first - 1800, first + 1800]) }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
        axes: [axis, { ...axis, size: 56, values: (_, ticks) => ticks.map((it) => `${it.toLocaleString("en")}${unit && ` ${unit}`}`) }],
        series: [{}, { stroke, width: 1.5, points: { show: data.at.length < 3 } }],
      }, [data.at, data[key]], plot));
    }
  }
  draw();
  let timer;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.getElementById("theme")?.addEventListener("click", () => setTimeout(draw));
})();
