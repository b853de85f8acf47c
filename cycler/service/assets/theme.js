// The colour theme, before anything is painted: as the system has it, or as chosen here before.
"use strict";
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const apply = (theme) => { if (theme === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = theme; };
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  apply(stored());
  window.dacycle = { dark };
  const changed = () => document.dispatchEvent(new Event("themechange"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const words = { auto: "as the system", dark: "dark", light: "light" };
    const label = () => {
      button.textContent = { auto: "◐", dark: "●", light: "○" }[stored()];
      button.setAttribute("aria-label", `Colour theme: ${words[stored()]}`);
      button.title = button.getAttribute("aria-label");
    };
    label();
    button.addEventListener("click", () => {
      const next = { auto: "dark", dark: "light", light: "auto" }[stored()];
      try { localStorage.setItem("theme", next); } catch { /* private windows may refuse */ }
      apply(next); label(); changed();
    });
  });
})();
