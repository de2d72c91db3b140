// What every page does: theme, dialogs, drafts, unsaved edits, filters, faults beside their fields, times of this place.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // Theme: as the system, light, dark.
  const themes = ["auto", "light", "dark"];
  const showTheme = (theme) => {
    if (theme === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = theme;
    all("[data-theme-button]").forEach((button) => { button.title = `Colours: ${theme}`; button.setAttribute("aria-label", `Colours: ${theme}`); });
    document.dispatchEvent(new Event("piranha:theme"));
  };
  let theme = localStorage.getItem("theme") || "auto";
  showTheme(theme);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-button]")) return;
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    localStorage.setItem("theme", theme);
    showTheme(theme);
  });

  // Dialogs open from buttons that name them; the typed word makes their act possible.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog").close();
  });
  const judgeTyped = (input) => {
    const button = input.form.querySelector("[data-needs-typed]");
    if (button) button.disabled = input.value.trim() !== input.dataset.typed;
  };
  document.addEventListener("input", (event) => { if (event.target.dataset && event.target.dataset.typed) judgeTyped(event.target); });
  all("[data-typed]").forEach(judgeTyped);

  // Drafts: what is typed stays in this tab until it is saved; leaving asks first.
  const forms = all("form[data-draft]");
  const contentOf = (form) => {
    const content = {};
    all("input[name], select[name], textarea[name]", form).forEach((one) => {
      if (["csrf", "digest", "seen", "act"].includes(one.name) || one.type === "password") return;
      content[one.name] = one.type === "checkbox" ? one.checked : one.value;
    });
    return content;
  };
  const keyOf = (form) => `draft ${location.pathname}${location.search.replace(/[?&](saved|confirmed|reloaded)=[^&]*/g, "")} ${form.dataset.draft}`;
  let leaving = false;
  forms.forEach((form) => {
    const saved = new URLSearchParams(location.search).has("saved");
    const key = keyOf(form);
    form.initial = JSON.stringify(contentOf(form));
    form.isChanged = () => JSON.stringify(contentOf(form)) !== form.initial;
    const notice = form.querySelector("[data-draft-notice]");
    const kept = saved ? null : sessionStorage.getItem(key);
    if (saved) sessionStorage.removeItem(key);
    if (kept && kept !== form.initial && !form.dataset.answered) {
      const draft = JSON.parse(kept);
      all("input[name], select[name], textarea[name]", form).forEach((one) => {
        if (!(one.name in draft) || one.disabled) return;
        if (one.type === "checkbox") one.checked = draft[one.name]; else one.value = draft[one.name];
      });
      if (notice) notice.hidden = false;
    }
    if (form.dataset.answered) sessionStorage.setItem(key, JSON.stringify(contentOf(form)));
    const note = () => {
      if (form.isChanged() || form.dataset.answered) sessionStorage.setItem(key, JSON.stringify(contentOf(form))); else sessionStorage.removeItem(key);
    };
    form.addEventListener("input", note);
    form.addEventListener("change", note);
    form.addEventListener("submit", () => { leaving = true; });
    const discard = form.querySelector("[data-discard]");
    if (discard) discard.addEventListener("click", () => { sessionStorage.removeItem(key); leaving = true; location.href = location.pathname + location.search; });
  });
  addEventListener("beforeunload", (event) => {
    if (!leaving && forms.some((form) => form.isChanged() || form.dataset.answered)) event.preventDefault();
  });
  addEventListener("pageshow", () => { leaving = false; });

  // Faults stand beside their fields; the first of them has the focus.
  const first = document.querySelector("[aria-invalid=true]");
  if (first) { const more = first.closest("details"); if (more) more.open = true; first.focus(); }
  const showVerdict = (verdict) => {
    const form = document.querySelector(verdict.dataset.form || "form[data-fields]");
    if (!form) return;
    const faults = {};
    all("[data-fault]", verdict).forEach((one) => { faults[one.dataset.fault] = one.textContent; });
    all("[data-field]", form).forEach((box) => {
      const input = box.querySelector("input[name], select[name], textarea[name]");
      const place = box.querySelector(".fault");
      const text = faults[box.dataset.field] || "";
      if (!input || !place) return;
      place.textContent = text;
      place.hidden = !text;
      if (text) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    });
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    const verdict = event.target.querySelector ? event.target.querySelector("[data-verdict]") : null;
    if (verdict) showVerdict(verdict);
    localTimes(event.target);
  });
  // A refusal is an answer to be shown too.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });

  // Errors by line lead into the text.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    const text = document.querySelector("textarea.text");
    if (!link || !text) return;
    event.preventDefault();
    const lines = text.value.split("\n");
    const start = lines.slice(0, Number(link.dataset.line) - 1).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + (lines[Number(link.dataset.line) - 1] || "").length);
    text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, Number(link.dataset.line) - 5);
  });

  // Filter of long lists: words, problems only.
  all("[data-filter]").forEach((input) => {
    const rows = () => all(`#${input.dataset.filter} [data-words]`);
    const chips = all(`[data-chip-of="${input.dataset.filter}"]`);
    const count = document.querySelector(`[data-count-of="${input.dataset.filter}"]`);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const pressed = chips.find((chip) => chip.getAttribute("aria-pressed") === "true");
      const kind = pressed ? pressed.dataset.kind : "all";
      let shown = 0;
      rows().forEach((row) => {
        const fits = words.every((word) => row.dataset.words.includes(word)) && (kind === "all" || (kind === "problems" ? row.dataset.problem === "1" : row.dataset.kind === kind));
        row.hidden = !fits;
        const inner = row.nextElementSibling;
        if (inner && inner.classList.contains("inner")) inner.hidden = !fits || inner.dataset.open !== "1";
        if (fits) shown += 1;
      });
      if (count) count.textContent = `${shown} shown`;
    };
    input.addEventListener("input", apply);
    chips.forEach((chip) => chip.addEventListener("click", () => {
      chips.forEach((other) => other.setAttribute("aria-pressed", String(other === chip)));
      apply();
    }));
    document.addEventListener("piranha:rows", apply);
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) {
      const box = document.querySelector("[data-filter], input[type=search]");
      if (box) { event.preventDefault(); box.focus(); }
    }
    if (event.key === "Escape" && event.target.matches("[data-filter]")) { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
  });

  // Rows that open: their inside comes when it is wanted.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-opens]");
    if (!button) return;
    const inner = document.getElementById(button.dataset.opens);
    const open = inner.dataset.open !== "1";
    inner.dataset.open = open ? "1" : "0";
    inner.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "▾" : "▸";
    if (open && window.htmx) htmx.trigger(inner.querySelector("[hx-get]"), "opened");
  });
  all("[data-all]").forEach((box) => box.addEventListener("change", () => {
    all(`input[name="${box.dataset.all}"]`).forEach((one) => { if (!one.closest("[hidden]")) one.checked = box.checked; });
  }));

  // Moments in the time of this place.
  const localTimes = (from) => all("time[datetime]", from).forEach((one) => {
    const at = new Date(one.getAttribute("datetime"));
    if (!isNaN(at)) { one.title = one.textContent; one.textContent = at.toLocaleString(undefined, { hour12: false }); one.removeAttribute("datetime"); }
  });
  localTimes(document);
})();
