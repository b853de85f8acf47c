// Colour scales, as stops between which is interpolated, and the units that people read.
"use strict";
(() => {
  const hex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  const ramp = (stops) => {
    const table = new Uint8Array(256 * 3);
    const colours = stops.map(hex);
    for (let k = 0; k < 256; k++) {
      const x = (k / 255) * (colours.length - 1), i = Math.min(Math.floor(x), colours.length - 2), f = x - i;
      for (let c = 0; c < 3; c++) table[3 * k + c] = Math.round(colours[i][c] * (1 - f) + colours[i + 1][c] * f);
    }
    return table;
  };
  const thermal = ramp(["#2c1e6b", "#2f4fb0", "#3f8fc9", "#6fc3c8", "#b5dfb4", "#f1ecab", "#f7c46c", "#ec8447", "#c6412f", "#7f1527"]);
  const moist = ramp(["#f6efdd", "#dfe3b4", "#a9d19a", "#63b395", "#2f8c93", "#20618a", "#1d3b72", "#1a1d4e"]);
  const speed = ramp(["#4b2a84", "#4a5fb5", "#7fa6d6", "#c9dcea", "#f4f1ec", "#f0d3b4", "#dd9a6f", "#b95a45", "#7a2236"]);
  const spread = ramp(["#10123a", "#3b1d6e", "#7c2a7f", "#bb3f6f", "#e76a4f", "#f7a54a", "#fae27c", "#fcfad2"]);
  const change = { light: ramp(["#123f8c", "#2f74c0", "#86b7de", "#d6e6f1", "#f8f8f6", "#f7ddcc", "#eba582", "#cf5440", "#8c1329"]),
    dark: ramp(["#7cc4ff", "#3d8fdc", "#23589c", "#1d3354", "#181c22", "#4d2520", "#97392c", "#de6447", "#ffb38f"]) };
  const symmetric = (kind, variable) => kind === "increment" || (kind === "mean" && (variable === "u" || variable === "v"));
  dacycle.scale = (kind, variable) => {
    if (kind === "increment") return change[dacycle.dark() ? "dark" : "light"];
    if (kind === "spread") return spread;
    return { u: speed, v: speed, q: moist }[variable] || thermal;
  };
  // Where the scale begins and ends: symmetric about zero where the sign matters, without the outermost values.
  dacycle.range = (values, kind, variable) => {
    const sample = [];
    for (let i = 0; i < values.length; i += 7) sample.push(values[i]);
    sample.sort((a, b) => a - b);
    const at = (p) => sample[Math.round(p * (sample.length - 1))];
    if (symmetric(kind, variable)) { const m = Math.max(Math.abs(at(0.003)), Math.abs(at(0.997))) || 1; return [-m, m]; }
    const low = kind === "spread" ? 0 : at(0.003), high = at(0.997);
    return high > low ? [low, high] : [low, low + 1];
  };
  dacycle.variable = (channel) => ({ "2t": "t", "10u": "u", "10v": "v", sp: "sp" })[channel] || channel[0];
  dacycle.unit = (channel, units) => {
    const variable = dacycle.variable(channel);
    if (variable === "sp") return { factor: 0.01, name: "hPa" };
    if (variable === "q") return { factor: 1000, name: "g/kg" };
    return { factor: 1, name: units.replace(" s-1", "/s") };
  };
  dacycle.short = (x) => (x === null || x === undefined || !isFinite(x) ? "–" : Math.abs(x) < 1e-9 ? "0" : Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toPrecision(3).replace(/\.?0+$/, "") || "0");
  // The stations' classes, as WMO's monitoring colours them: [fill in light, fill in dark, words].
  dacycle.classes = {
    complete: ["#1a9641", "#4cd07d", "complete"],
    layer: ["#e0b000", "#ffd84d", "a level is missing"],
    variable: ["#e66101", "#ff9b4a", "a variable is missing"],
    rejected: ["#c51b3a", "#ff6b81", "everything rejected"],
    silent: ["#1a1a1a", "#8b95a1", "did not report"],
  };
  dacycle.colourOf = (name) => dacycle.classes[name][dacycle.dark() ? 1 : 0];
  dacycle.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
})();
