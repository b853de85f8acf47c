// The map: a field under coastlines and soundings, on the Equal Earth projection.
"use strict";
(() => {
  const canvas = () => document.getElementById("map");
  const state = { land: null, field: null, stations: [], picked: null, view: null, soundings: true };
  const graticule = d3.geoGraticule10();

  // For every pixel of the canvas, where in the field it lies (row, column), worked out once per size; NaN outside.
  const lookup = (width, height, projection, lat, nlon) => {
    const rows = new Float32Array(width * height).fill(NaN), columns = new Float32Array(width * height);
    const table = new Float32Array(3601);
    for (let k = 0, row = 0; k <= 3600; k++) {
      const here = 90 - k / 20;
      while (row < lat.length - 2 && lat[row + 1] > here) row++;
      table[k] = Math.max(0, Math.min(lat.length - 1.001, row + (lat[row] - here) / (lat[row] - lat[row + 1])));
    }
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const place = projection.invert([x + 0.5, y + 0.5]);
      if (!place || !(Math.abs(place[1]) <= 90)) continue;
      rows[y * width + x] = table[Math.round((90 - place[1]) * 20)];
      columns[y * width + x] = (((place[0] + 360) % 360) / 360) * nlon;
    }
    return { rows, columns };
  };
  const sample = (field, row, column) => {
    const r = row | 0, c = column | 0, fy = row - r, fx = column - c, n = field.nlon, west = c % n, east = (c + 1) % n, v = field.values;
    const top = v[r * n + west] * (1 - fx) + v[r * n + east] * fx, low = v[(r + 1) * n + west] * (1 - fx) + v[(r + 1) * n + east] * fx;
    return top * (1 - fy) + low * fy;
  };

  const layout = () => {
    const element = canvas(), ratio = Math.min(devicePixelRatio || 1, 2);
    const box = element.parentElement.getBoundingClientRect();
    const width = Math.max(280, Math.round(box.width)), height = Math.round(width * 0.4876);
    const key = `${width}x${height}x${ratio}`;
    if (state.view && state.view.key === key) return state.view;
    element.width = width * ratio; element.height = height * ratio;
    const projection = d3.geoEqualEarth().fitExtent([[1, 1], [width * ratio - 1, height * ratio - 1]], { type: "Sphere" });
    state.view = { key, ratio, width: width * ratio, height: height * ratio, projection, index: null };
    return state.view;
  };

  const raster = (context, view) => {
    const field = state.field;
    if (!view.index || view.of !== field.lat.length) { view.index = lookup(view.width, view.height, view.projection, field.lat, field.nlon); view.of = field.lat.length; }
    const image = context.createImageData(view.width, view.height), out = image.data;
    const table = dacycle.scale(field.kind, dacycle.variable(field.channel));
    const [low, high] = field.range, factor = 255 / (high - low);
    const { rows, columns } = view.index;
    for (let i = 0; i < rows.length; i++) {
      if (!(rows[i] >= 0)) continue;
      const k = 3 * Math.max(0, Math.min(255, Math.round((sample(field, rows[i], columns[i]) - low) * factor)));
      out[4 * i] = table[k]; out[4 * i + 1] = table[k + 1]; out[4 * i + 2] = table[k + 2]; out[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    // Beyond the edge of the world the projection's inverse goes on as if there were more of it.
    context.globalCompositeOperation = "destination-in";
    context.beginPath(); d3.geoPath(view.projection, context)({ type: "Sphere" }); context.fill();
    context.globalCompositeOperation = "source-over";
  };

  const draw = () => {
    const element = canvas();
    if (!element || document.getElementById("map-section").hidden) return;
    const view = layout(), context = element.getContext("2d");
    context.clearRect(0, 0, view.width, view.height);
    const path = d3.geoPath(view.projection, context), dark = dacycle.dark(), shown = state.field !== null;
    context.lineWidth = view.ratio;
    if (shown) raster(context, view);
    else { context.beginPath(); path({ type: "Sphere" }); context.fillStyle = dacycle.css("--sea"); context.fill(); }
    if (state.land && !shown) { context.beginPath(); path(state.land); context.fillStyle = dacycle.css("--land"); context.fill(); }
    context.beginPath(); path(graticule);
    context.strokeStyle = shown ? "rgba(255,255,255,.13)" : dacycle.css("--line"); context.lineWidth = 0.6 * view.ratio; context.stroke();
    if (state.land) {
      context.beginPath(); path(state.land); context.lineWidth = 0.9 * view.ratio;
      context.strokeStyle = shown ? "rgba(12,16,22,.62)" : dacycle.css("--dim"); context.stroke();
    }
    context.beginPath(); path({ type: "Sphere" }); context.strokeStyle = dacycle.css("--line"); context.lineWidth = view.ratio; context.stroke();
    if (state.soundings || !shown) points(context, view, dark, shown);
  };

  const points = (context, view, dark, over) => {
    const radius = (over ? 2.3 : 3) * view.ratio * Math.min(1.25, Math.max(0.75, view.width / view.ratio / 900));
    const order = ["complete", "layer", "variable", "rejected", "silent"];
    for (const wanted of order) for (const s of state.stations) {
      if (s.class !== wanted) continue;
      const [x, y] = s.at || (s.at = view.projection([s.lon, s.lat]));
      context.beginPath(); context.arc(x, y, radius, 0, 6.2832);
      if (wanted === "silent") { context.lineWidth = 1.3 * view.ratio; context.strokeStyle = dacycle.colourOf(wanted); context.stroke(); continue; }
      context.fillStyle = over ? dacycle.classes[wanted][1] : dacycle.colourOf(wanted); context.fill();
      context.lineWidth = 0.8 * view.ratio; context.strokeStyle = over ? "rgba(10,14,20,.85)" : dark ? "#0d1116" : "#fff"; context.stroke();
    }
    const picked = state.stations.find((s) => s.station === state.picked);
    if (picked) {
      const [x, y] = picked.at;
      context.beginPath(); context.arc(x, y, radius * 2.6, 0, 6.2832);
      context.lineWidth = 4 * view.ratio; context.strokeStyle = "#0d1116"; context.stroke();
      context.lineWidth = 2 * view.ratio; context.strokeStyle = "#fff"; context.stroke();
    }
  };

  const bar = () => {
    const element = document.getElementById("bar"), field = state.field;
    element.parentElement.hidden = !field;
    if (!field) return;
    const width = (element.width = Math.max(100, element.parentElement.clientWidth - 190)), context = element.getContext("2d");
    const table = dacycle.scale(field.kind, dacycle.variable(field.channel));
    for (let x = 0; x < width; x++) { const k = 3 * Math.round((x / (width - 1)) * 255); context.fillStyle = `rgb(${table[k]},${table[k + 1]},${table[k + 2]})`; context.fillRect(x, 0, 1, 10); }
    const unit = dacycle.unit(field.channel, field.units);
    document.getElementById("bar-low").textContent = `${dacycle.short(field.range[0] * unit.factor)} ${unit.name}`;
    document.getElementById("bar-high").textContent = `${dacycle.short(field.range[1] * unit.factor)} ${unit.name}`;
  };

  const place = (event) => {
    const element = canvas(), box = element.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * element.width, ((event.clientY - box.top) / box.height) * element.height];
  };
  const nearest = ([x, y]) => {
    let best = null, least = (12 * state.view.ratio) ** 2;
    for (const s of state.stations) { if (!s.at) continue; const d = (s.at[0] - x) ** 2 + (s.at[1] - y) ** 2; if (d < least) { least = d; best = s; } }
    return best;
  };
  const read = (event) => {
    if (!state.view) return;
    const spot = place(event), position = state.view.projection.invert(spot), label = document.getElementById("map-read");
    const words = [], found = nearest(spot);
    if (position && Math.abs(position[1]) <= 90 && Math.abs(position[0]) <= 180) {
      words.push(`${Math.abs(position[1]).toFixed(1)}°${position[1] < 0 ? "S" : "N"} ${Math.abs(position[0]).toFixed(1)}°${position[0] < 0 ? "W" : "E"}`);
      const at = Math.floor(spot[1]) * state.view.width + Math.floor(spot[0]), row = state.view.index?.rows[at];
      if (state.field && row >= 0) { const unit = dacycle.unit(state.field.channel, state.field.units); words.push(`${dacycle.short(sample(state.field, row, state.view.index.columns[at]) * unit.factor)} ${unit.name}`); }
    }
    if (found) words.push(`${found.station}: ${dacycle.classes[found.class][2]}`);
    canvas().style.cursor = found ? "pointer" : "default";
    label.textContent = words.join(" · ");
  };

  const decode = (buffer) => {
    const bytes = new Uint8Array(buffer), end = bytes.indexOf(10);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
    const packed = new Uint16Array(buffer, end + 1), step = (header.high - header.low) / 65535;
    const values = new Float32Array(packed.length);
    for (let i = 0; i < packed.length; i++) values[i] = header.low + step * packed[i];
    return { ...header, values, range: dacycle.range(values, header.kind, dacycle.variable(header.channel)) };
  };

  dacycle.map = {
    state, draw,
    async land(address) { const world = await (await fetch(address)).json(); state.land = topojson.feature(world, world.objects.land); draw(); },
    async show(time, kind, channel) {
      if (kind === "stations") state.field = null;
      else {
        const answer = await fetch(`/api/v1/fields/${time}/${kind}/${channel}`);
        if (!answer.ok) throw new Error((await answer.json()).error);
        state.field = decode(await answer.arrayBuffer());
      }
      draw(); bar();
      return state.field;
    },
    place(stations) { state.stations = stations; draw(); },
    pick(name) { state.picked = name; draw(); },
    start(choose) {
      const element = canvas();
      element.addEventListener("mousemove", read);
      element.addEventListener("click", (event) => { const found = nearest(place(event)); if (found) choose(found.station); });
      element.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step || !state.stations.length) return;
        event.preventDefault();
        const now = state.stations.findIndex((s) => s.station === state.picked), n = state.stations.length;
        choose(state.stations[(now + step + n) % n].station);
      });
      let width = 0;
      new ResizeObserver(() => {
        const now = element.parentElement.clientWidth;
        if (now === width) return;
        width = now; state.stations.forEach((s) => { s.at = null; }); draw(); bar();
      }).observe(element.parentElement);
      document.addEventListener("themechange", () => { draw(); bar(); });
    },
  };
})();
