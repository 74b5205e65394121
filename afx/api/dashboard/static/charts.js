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
  // Hours of 24, and the day below the first of its ticks.
  const two = (it) => String(it).padStart(2, "0");
  function times(_, ticks) {
    let day = "";
    return ticks.map((it) => {
      const at = new Date(it * 1000), date = `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
      const hour = `${two(at.getHours())}:${two(at.getMinutes())}`;
      if (date === day) return hour;
      day = date;
      return hour === "00:00" ? date : `${hour}\n${date}`;
    });
  }
  // Not less than a minute: ticks have no seconds.
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1440, 2880, 10080, 20160, 43200].map((it) => it * 60);
  function draw() {
    for (const it of charts.splice(0)) it.destroy();
    const ink = resolved("--ink-3"), line = resolved("--line");
    for (const plot of place.querySelectorAll(".plot")) {
      const names = plot.dataset.series.split(","), unit = plot.dataset.unit;
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      const paths = "stepped" in plot.dataset ? uPlot.paths.stepped({ align: 1 }) : undefined;
      const lines = names.map((_, index) => ({
        stroke: resolved(`--data-${index + 1}`), width: 1.5, paths, points: { show: data.at.length < 3 },
        // A line is told from another one without its colour, too.
        dash: index ? [5, 3] : undefined,
      }));
      charts.push(new uPlot({
        width: plot.clientWidth, height: plot.clientHeight || 180,
        legend: { show: false }, cursor: { y: false },
        scales: { x: { range: (_, first, last) => (first < last ? [first, last] : [first - 1800, first + 1800]) }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
        axes: [{ ...axis, values: times, incrs: STEPS }, { ...axis, size: 56, values: (_, ticks) => ticks.map((it) => `${it.toLocaleString("en")}${unit && ` ${unit}`}`) }],
        series: [{}, ...lines],
      }, [data.at, ...names.map((it) => data[it])], plot));
    }
  }
  draw();
  let timer;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.getElementById("theme")?.addEventListener("click", () => setTimeout(draw));
})();
