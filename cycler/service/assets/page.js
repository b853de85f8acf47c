// The page as a whole: parts that live are fetched again and exchanged where they changed; nothing ever reloads.
"use strict";
(() => {
  const EVERY = 3000, SLOW = 15000;
  const main = document.getElementById("main"), live = document.getElementById("live");
  const texts = new Map();
  let open = null, follows = true, newest = "", kind = "mean", failures = 0, round = 0;

  const get = (id) => document.getElementById(id);

  const expand = (key) => {
    document.querySelectorAll(".cell").forEach((b) => b.setAttribute("aria-expanded", String(b.dataset.cell === key)));
    document.querySelectorAll(".detail").forEach((d) => { d.hidden = d.id !== `d-${key}`; });
    open = key;
  };
  const chooseFirst = () => {
    const cells = [...document.querySelectorAll(".cell")], lane = cells.filter((c) => c.dataset.cell.endsWith("delayed"));
    const telling = lane.findLast((c) => c.matches(".bad, .busy")) || lane.findLast((c) => c.matches(".good, .free")) || cells.at(-1);
    if (telling) expand(telling.dataset.cell);
  };
  const toEnd = () => document.querySelectorAll(".lane .scroll").forEach((s) => { s.scrollLeft = s.scrollWidth; });

  const exchange = (name, text) => {
    if (texts.get(name) === text) return false;
    texts.set(name, text);
    const place = get(name), focused = document.activeElement, key = place.contains(focused) ? focused.dataset.cell : null;
    const scrolled = [...place.querySelectorAll(".scroll")].map((s) => [s.scrollLeft, s.scrollLeft + s.clientWidth >= s.scrollWidth - 4]);
    place.innerHTML = text;
    place.querySelectorAll(".scroll").forEach((s, k) => { s.scrollLeft = !scrolled[k] || scrolled[k][1] ? s.scrollWidth : scrolled[k][0]; });
    if (name === "cycles") {
      if (follows) chooseFirst(); else expand(open);  // what was opened by hand stays open
      if (key) place.querySelector(`[data-cell="${key}"]`)?.focus();
    }
    return true;
  };

  const part = async (name) => {
    const answer = await fetch(`/parts/${name}`, { cache: "no-cache", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    exchange(name, await answer.text());
  };
  const refresh = async () => {
    try {
      for (const name of ["now", "cycles", "events", ...(round++ % 5 === 0 ? ["departures"] : [])]) await part(name);
      failures = 0; live.textContent = "live"; live.className = "live";
    } catch {
      failures++; live.textContent = "no answer from the daemon"; live.className = "live lost";
    }
    const verdict = document.querySelector(".verdict"), found = verdict?.dataset.newest || "";
    document.title = { bad: "✗ dacycle", watch: "! dacycle", busy: "▶ dacycle", good: "✓ dacycle" }[verdict?.dataset.level] || "dacycle";
    if (found !== newest) { newest = found; if (found.length > 1) await Promise.allSettled([part("departures"), fresh()]); }
  };

  const fresh = async () => {
    get("map-section").hidden = false; get("series-section").hidden = false;
    await Promise.allSettled([field(), stations(), series()]);
  };
  const time = () => newest.slice(0, 20);
  const field = async () => {
    const channel = get("map-channel").value, caption = get("map-caption");
    try {
      const offered = await (await fetch(`/api/v1/fields/${time()}`)).json();
      const select = get("map-channel");
      if (!select.options.length) select.append(...offered.channels.map((c) => new Option(c, c, c === "t850", c === "t850")));
      document.querySelectorAll("[data-kind]").forEach((b) => { b.disabled = b.dataset.kind !== "stations" && !offered.kinds.includes(b.dataset.kind); if (b.disabled && b.dataset.kind === kind) kind = offered.kinds[0] || "stations"; });
      press();
      const shown = await dacycle.map.show(time(), kind, select.value);
      get("map-time").textContent = `${time().slice(0, 13).replace("T", " ")} UTC`;
      const what = { mean: "Ensemble mean", spread: "Ensemble spread", increment: "Increment: what the soundings changed" }[kind];
      caption.textContent = shown ? `${what}, ${shown.long_name}` : "Stations by what they sent";
      get("map").setAttribute("aria-label", `World map, ${caption.textContent}, ${time()}; arrow keys go from station to station`);
      main.dataset.field = shown ? `${shown.kind} ${shown.channel} ${shown.time}` : "stations";
    } catch (error) { caption.textContent = error.message; main.dataset.field = "none"; void channel; }
  };
  const press = () => document.querySelectorAll("[data-kind]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.kind === kind)));
  const stations = async () => {
    const answer = await fetch("/api/v1/stations");
    if (!answer.ok) return;
    const told = await answer.json();
    dacycle.map.place(told.stations);
    get("station-list").replaceChildren(...told.stations.map((s) => new Option(s.station)));
    legend(told.stations);
    main.dataset.stations = told.stations.length;
  };
  const legend = (list) => get("station-legend").replaceChildren(...Object.entries(dacycle.classes).map(([name, [, , words]]) => {
    const item = document.createElement("li"), dot = document.createElement("span");
    dot.className = `dot class-${name}`;
    item.append(dot, ` ${words} (${list.filter((s) => s.class === name).length})`);
    return item;
  }));
  const series = () => dacycle.series(get("series-channel").value || "t500", get("series-days").value);

  document.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) { follows = false; expand(cell.dataset.cell === open ? null : cell.dataset.cell); }
    const segment = event.target.closest("[data-kind]");
    if (segment) { kind = segment.dataset.kind; press(); field(); }
  });

  const start = async () => {
    if (main.hasAttribute("data-empty")) {  // until there is a ledger
      const wait = async () => { try { if (!(await (await fetch("/", { cache: "no-cache" })).text()).includes("data-empty")) return location.reload(); } catch { /* again */ } setTimeout(wait, EVERY); };
      setTimeout(wait, EVERY);
      return;
    }
    for (const name of ["now", "cycles", "departures", "events"]) texts.set(name, null);
    chooseFirst(); toEnd();
    get("map-channel").addEventListener("change", field);
    get("map-soundings").addEventListener("change", (e) => { dacycle.map.state.soundings = e.target.checked; dacycle.map.draw(); });
    get("series-channel").addEventListener("change", series);
    get("series-days").addEventListener("change", series);
    get("station-find").addEventListener("change", (e) => { const name = e.target.value.trim().toUpperCase(); if (name) dacycle.station(name); });
    dacycle.map.start(dacycle.station);
    newest = document.querySelector(".verdict")?.dataset.newest || "";
    await Promise.allSettled([dacycle.map.land(main.dataset.land), ...(newest.length > 1 ? [fresh()] : [])]);
    main.dataset.ready = String(Math.round(performance.now()));
    const tick = async () => {
      if (!document.hidden) await refresh();
      setTimeout(tick, failures > 3 ? SLOW : EVERY);
    };
    setTimeout(tick, EVERY);
  };
  start();
})();
