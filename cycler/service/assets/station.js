// One station: what it sent to the newest analysis, and its last 30 days.
"use strict";
(() => {
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const table = (heads, rows) => make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((h, k) => make("th", { scope: "col", ...(k ? { class: "number" } : {}) }, h)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, k) => (k ? make("td", { class: "number" }, cell) : make("th", { scope: "row" }, cell)))))));
  const words = { t: "temperature", u: "eastward wind", v: "northward wind", q: "humidity", z: "height", sp: "surface pressure" };
  let shown = null;

  const strip = (cycles) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${cycles.length} 10`); svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img"); svg.setAttribute("class", "strip");
    const got = cycles.filter((c) => c.received).length;
    svg.setAttribute("aria-label", `Reported to ${got} of ${cycles.length} cycles`);
    cycles.forEach((c, k) => {
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect"), title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      const total = c.used + c.withheld + c.rejected, share = total ? (c.used + c.withheld) / total : 0;
      rect.setAttribute("x", k + 0.08); rect.setAttribute("width", 0.84); rect.setAttribute("y", 0); rect.setAttribute("height", 10);
      rect.setAttribute("class", !c.received ? "none" : share >= 0.9 ? "good" : share > 0 ? "fair" : "bad");
      title.textContent = `${c.time.slice(0, 13)}: ${c.received ? `${c.used} used, ${c.rejected} rejected` : "nothing"}`;
      rect.append(title); svg.append(rect);
    });
    return svg;
  };

  const history = (told, variable) => {
    const time = told.cycles.map((c) => Date.parse(c.time) / 1000), pick = (kind, key) => told.cycles.map((c) => c[kind][variable]?.[key] ?? null);
    dacycle.charts.lines("chart-station", [time, pick("omb", "bias"), pick("omb", "rms"), pick("oma", "rms"), time.map(() => 1)],
      [{ label: "O-B mean", colour: "--series-c" }, { label: "O-B rms", colour: "--series-b" }, { label: "O-A rms", colour: "--series-a" }, { label: "expected", colour: "--dim", dash: [4, 4] }], { height: 160 });
  };

  const render = (told, summary) => {
    shown = [told, summary];
    const body = document.getElementById("station-body");
    dacycle.charts.forget("chart-station");
    body.textContent = "";
    const name = make("p", { class: "name" }, make("b", {}, told.station));
    if (summary) name.append(` ${Math.abs(summary.lat).toFixed(1)}°${summary.lat < 0 ? "S" : "N"} ${Math.abs(summary.lon).toFixed(1)}°${summary.lon < 0 ? "W" : "E"} · `, make("span", { class: `class-${summary.class}` }, dacycle.classes[summary.class][2]));
    body.append(name);
    if (summary?.blacklisted.length) body.append(make("p", { class: "watch" }, `Not used for now (${summary.blacklisted.map((v) => words[v] || v).join(", ")}): its departures were unusual. It is used again by itself.`));
    const got = told.cycles.filter((c) => c.received).length;
    if (told.cycles.length) body.append(make("p", { class: "dim" }, `Reported to ${got} of the last ${told.cycles.length} cycles`), strip(told.cycles));
    if (told.variables.length) {
      const select = make("select", { id: "station-variable" }, ...told.variables.map((v) => make("option", { value: v }, words[v] || v)));
      const wanted = dacycle.variable(document.getElementById("map-channel").value);
      if (told.variables.includes(wanted)) select.value = wanted;
      body.append(make("label", {}, "departures, in expected errors, of ", select), make("div", { id: "chart-station", class: "chart" }));
      history(told, select.value);
      select.addEventListener("change", () => history(told, select.value));
    }
    if (told.values.length) {
      const rows = told.values.map((v) => { const unit = dacycle.unit(v.channel, v.units), s = (x) => (x === null ? "–" : dacycle.short(x * unit.factor)); return [v.channel, `${s(v.value)} ${unit.name}`, s(v.omb), s(v.oma), v.fate.replace("_", " ")]; });
      body.append(make("h4", {}, `Sounding of ${told.time.slice(0, 13).replace("T", " ")} UTC`), make("div", { class: "scroll low", tabindex: "0", role: "region", "aria-label": "Values of the sounding" }, table(["channel", "value", "O-B", "O-A", "fate"], rows)));
    } else body.append(make("p", { class: "dim" }, "Nothing came for the newest analysis."));
    body.dataset.station = told.station;
  };

  dacycle.station = async (name) => {
    const body = document.getElementById("station-body");
    dacycle.map.pick(name);
    document.getElementById("station-find").value = name;
    const answer = await fetch(`/api/v1/stations/${encodeURIComponent(name)}`), told = await answer.json();
    if (!answer.ok) { body.textContent = told.error; return; }
    render(told, dacycle.map.state.stations.find((s) => s.station === name));
  };
  document.addEventListener("themechange", () => { if (shown) render(...shown); });
})();
