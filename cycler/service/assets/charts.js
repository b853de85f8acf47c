// Series and histograms with uPlot, in the page's colours.
"use strict";
(() => {
  const plots = new Map();
  const newest = (u, k) => u.data[k].at(-1);  // what the legend tells until the mouse asks for more
  const axis = (extra) => ({ stroke: dacycle.css("--dim"), font: "12px system-ui", grid: { stroke: dacycle.css("--grid"), width: 1 }, ticks: { show: false }, ...extra });
  const line = (label, colour, extra) => ({ label, stroke: dacycle.css(colour), width: 1.6, points: { show: false }, spanGaps: false, value: (u, v, k) => dacycle.short(v ?? newest(u, k)), ...extra });
  const put = (id, options, data) => {
    const element = document.getElementById(id);
    plots.get(id)?.destroy();
    element.textContent = "";
    const width = Math.max(240, element.clientWidth);
    plots.set(id, new uPlot({ width, height: 210, padding: [8, 34, 0, 0], legend: { live: true, markers: { width: 0, fill: (u, k) => u.series[k].stroke(u, k) } }, cursor: { y: false, points: { size: 6 } }, ...options }, data, element));
    element.dataset.points = data[0].length;
  };
  const time = () => axis({ values: (u, splits) => splits.map((s) => new Date(s * 1000).toISOString().slice(5, splits.at(-1) - splits[0] < 4 * 86400 ? 13 : 10).replace("T", " ")), size: 30, space: 76 });
  const value = () => axis({ size: 52, values: (u, splits) => splits.map((s) => dacycle.short(s)) });
  const utc = (stamp) => uPlot.tzDate(new Date(stamp * 1e3), "UTC");
  const sparse = (data) => ({ points: { show: data[0].length < 40, size: 5 } });

  dacycle.charts = {
    lines(id, data, series, extra = {}) {
      const dots = sparse(data), day = 86400;
      const range = (u, low, high) => (data[0].length > 1 ? [low, high] : [low - day, low + day]);  // a single point is no span
      const at = { label: "time", value: (u, v, k) => new Date((v ?? newest(u, k)) * 1000).toISOString().slice(0, 13).replace("T", " ") };
      put(id, { tzDate: utc, axes: [time(), value()], series: [at, ...series.map((s) => line(s.label, s.colour, { ...dots, ...(s.dash ? { dash: s.dash, points: { show: false } } : {}) }))], ...extra, scales: { x: { range }, ...extra.scales } }, data);
    },
    bars(id, counts) {
      const total = counts.reduce((a, b) => a + b, 0) || 1, share = counts.map((c) => (c / total) * counts.length);
      const bars = uPlot.paths.bars({ size: [0.86, 80] });
      put(id, {
        scales: { x: { time: false, range: [-0.6, counts.length - 0.4] }, y: { range: (u, low, high) => [0, Math.max(1.5, high * 1.1)] } },
        axes: [axis({ values: (u, s) => s.map((x) => (Number.isInteger(x) ? x : "")), size: 30 }), value()],
        series: [{ label: "rank", value: (u, v) => v ?? "" }, { ...line("times the expected share", "--accent", { value: (u, v) => (v === null ? "" : dacycle.short(v)) }), paths: bars, fill: dacycle.css("--accent-soft") }, line("flat", "--dim", { dash: [4, 4], value: () => "" })],
      }, [counts.map((_, k) => k), share, counts.map(() => 1)]);
    },
    none(id, words) { plots.get(id)?.destroy(); plots.delete(id); const e = document.getElementById(id); e.textContent = ""; const p = document.createElement("p"); p.className = "dim empty"; p.textContent = words; e.append(p); e.dataset.points = 0; },
    forget(id) { plots.get(id)?.destroy(); plots.delete(id); },
    resize() { for (const [id, plot] of plots) { const e = document.getElementById(id); if (e) plot.setSize({ width: Math.max(240, e.clientWidth), height: plot.height }); } },
  };

  const fill = (told, days, ranks) => {
    const unit = dacycle.unit(told.channel, told.units), scaled = (list) => list.map((x) => (x === null ? null : x * unit.factor));
    document.querySelectorAll("[data-unit]").forEach((e) => { e.textContent = unit.name; });
    if (!told.time.length) { for (const id of ["chart-rms", "chart-bias", "chart-spread"]) dacycle.charts.none(id, "No cycle with soundings yet."); }
    else {
      const limit = (key) => (told.limit ? [told.time.map(() => told.limit[key] * unit.factor)] : []);
      const usual = told.limit ? [{ label: "usual limit", colour: "--bad", dash: [5, 4] }] : [];
      dacycle.charts.lines("chart-rms", [told.time, scaled(told.omb_rms), scaled(told.oma_rms), ...limit("rms")], [{ label: "O-B", colour: "--series-b" }, { label: "O-A", colour: "--series-a" }, ...usual], { scales: { y: { range: (u, low, high) => [0, high * 1.1 || 1] } } });
      dacycle.charts.lines("chart-bias", [told.time, scaled(told.omb_bias), scaled(told.oma_bias), told.time.map(() => 0)], [{ label: "O-B", colour: "--series-b" }, { label: "O-A", colour: "--series-a" }, { label: "zero", colour: "--dim", dash: [4, 4] }]);
      if (told.spread_skill.some((x) => x !== null)) dacycle.charts.lines("chart-spread", [told.time, told.spread_skill, told.time.map(() => 1)], [{ label: "spread/skill", colour: "--accent" }, { label: "right", colour: "--dim", dash: [4, 4] }], { scales: { y: { range: (u, low, high) => [Math.min(0.4, low), Math.max(1.6, high)] } } });
      else dacycle.charts.none("chart-spread", "Appears after the second cycle.");
    }
    const counts = ranks.ranks[told.channel];
    if (counts) dacycle.charts.bars("chart-ranks", counts); else dacycle.charts.none("chart-ranks", "Appears after the second cycle.");
  };
  let last = null;
  dacycle.series = async (channel, days) => {
    const [told, ranks] = await Promise.all([fetch(`/api/v1/series/${channel}?days=${days}`), fetch(`/api/v1/ranks?days=${days}`)].map(async (a) => (await a).json()));
    last = [told, days, ranks];
    fill(...last);
  };
  document.addEventListener("themechange", () => { if (last) fill(...last); });
  let wait = 0;
  addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(() => dacycle.charts.resize(), 150); });
})();
