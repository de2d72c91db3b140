// Live values: one WebSocket, one frame a second; what has no news for five seconds goes grey.
"use strict";
(() => {
  const note = document.getElementById("live");
  if (!note) return;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const marks = JSON.parse(note.dataset.marks);
  const tones = { "●": "good", "◆": "warn", "■": "bad", "○": "idle", "◇": "idle" };
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const scaled = (number, unit) => {
    if (number === null || number === undefined) return "—";
    const units = ["", "k", "M", "G", "T"];
    let value = number, at = 0;
    while (Math.abs(value) >= 1000 && at < 4) { value /= 1000; at += 1; }
    const text = !at && Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
    const tail = units[at] + (unit || "");
    return tail ? `${text} ${tail}` : text;
  };
  const whole = (number) => Math.round(number).toLocaleString("en");
  const stateOf = (element, word) => {
    const mark = marks[word] || "○";
    const text = `${mark} ${word}`;
    if (!element || element.dataset.word === text) return;
    element.dataset.word = text;
    element.className = `state ${tones[mark]}`;
    element.textContent = text;
  };

  // The chart: connections a second, on an axis that begins at 0.
  const place = document.getElementById("chart");
  const times = [], values = [];
  let chart = null;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = () => {
    if (!place || typeof uPlot === "undefined") return;
    if (chart) chart.destroy();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    chart = new uPlot({
      width: place.clientWidth, height: 180, cursor: { y: false }, legend: { show: false },
      scales: { y: { range: (u, low, high) => [0, Math.max(1, high * 1.15)] } },
      axes: [{ ...axis, values: "{HH}:{mm}:{ss}" }, { ...axis, size: 60, values: (u, ticks) => ticks.map((tick) => scaled(tick)) }],
      series: [{ value: "{HH}:{mm}:{ss}" }, { label: "connections/s", stroke: colour("--link"), width: 1.6, fill: colour("--link-soft"), value: (u, value) => scaled(value) }],
    }, [times, values], place);
  };
  if (place) {
    if (place.dataset.history) JSON.parse(place.dataset.history).forEach(([at, value]) => { times.push(at); values.push(value); });
    draw();
    addEventListener("resize", draw);
    document.addEventListener("piranha:theme", draw);
  }

  // The small line of each row: the last minute.
  const lines = new Map();
  const drawLine = (svg, value) => {
    if (!svg) return;
    const row = lines.get(svg) || [];
    row.push(value);
    if (row.length > 60) row.shift();
    lines.set(svg, row);
    const top = Math.max(1, ...row);
    svg.firstElementChild.setAttribute("points", row.map((one, at) => `${((88 * at) / 59).toFixed(1)},${(19 - (17 * one) / top).toFixed(1)}`).join(" "));
  };
  const bar = (element, servers, up) => {
    const text = `${up}/${servers}`;
    const of = element && element.querySelector(".of");
    if (!of || of.textContent === text) return;
    of.textContent = text;
    element.querySelector(".bar").replaceChildren(...Array.from({ length: Math.min(servers, 24) }, (nothing, at) => {
      const one = document.createElement("i");
      one.className = at < up ? "u" : "d";
      return one;
    }));
  };
  const rows = new Map(all("tr[data-service]").map((row) => [row.dataset.service, row]));
  const showRow = (row, [state, servers, up, connections, cps, inBps, outBps]) => {
    const problem = state === "up" || state === "foreign" ? "0" : "1";
    const news = row.dataset.problem !== problem;
    row.dataset.problem = problem;
    row.cps = cps;
    stateOf(row.querySelector(".state"), state);
    bar(row.querySelector("[data-bar]"), servers, up);
    put(row.querySelector("[data-cps]"), scaled(cps));
    put(row.querySelector("[data-active]"), whole(connections));
    put(row.querySelector("[data-in]"), scaled(inBps, "b/s"));
    put(row.querySelector("[data-out]"), scaled(outBps, "b/s"));
    return news;
  };

  let heardAt = 0, paused = false, age = 0;
  const show = (frame) => {
    heardAt = Date.now();
    age = 0;
    document.getElementById("lost").hidden = !frame.error;
    if (frame.error) {
      put(document.getElementById("lost-text"), frame.mend ? `${frame.error}: ${frame.mend}` : frame.error);
      document.body.classList.add("stale");
      return;
    }
    document.body.classList.remove("stale");
    if (paused) return;
    const cluster = frame.cluster;
    stateOf(document.getElementById("our-role"), cluster.role);
    if (cluster.peer) { const peer = document.getElementById("peer-role"); stateOf(peer, cluster.peer.heard_s === null || !cluster.peer.role ? "not heard" : cluster.peer.role); }
    all("[data-live=problems]").forEach((list) => {
      const texts = [...Object.entries(cluster.alarms).map(([code, text]) => `■ ${code}: ${text}`), ...frame.problems.map((text) => `◆ ${text}`)];
      const joined = texts.join("\n");
      if (list.dataset.text === joined) return;
      list.dataset.text = joined;
      list.replaceChildren(...texts.map((text) => { const item = document.createElement("li"); item.textContent = text; return item; }));
      list.closest("[data-problems]").hidden = !texts.length;
    });
    all("[data-total]").forEach((one) => {
      const value = frame.totals[one.dataset.total];
      if (value !== undefined) put(one, one.dataset.unit ? scaled(value, one.dataset.unit) : one.dataset.total === "connections" ? whole(value) : scaled(value));
    });
    all("[data-states]").forEach((one) => put(one, Object.entries(frame.summary.states).map(([word, count]) => `${marks[word] || "○"} ${count} ${word}`).join("  ·  ") || "none"));
    let news = false;
    for (const [key, values] of Object.entries(frame.services)) {
      const row = rows.get(key);
      if (row) news = showRow(row, values) || news;
    }
    for (const [key, row] of rows) {
      if (frame.whole ? !(key in frame.services) : frame.gone.includes(key)) { stateOf(row.querySelector(".state"), "off"); row.cps = 0; }
      drawLine(row.querySelector("svg.line"), row.cps || 0);
    }
    if (news) document.dispatchEvent(new Event("piranha:rows"));
    if (chart) {
      times.push(frame.at); values.push(frame.totals.cps);
      while (times.length > 600) { times.shift(); values.shift(); }
      chart.setData([times, values]);
    }
  };

  const button = document.getElementById("pause");
  if (button) button.addEventListener("click", () => { paused = !paused; put(button, paused ? "Go on" : "Pause"); button.setAttribute("aria-pressed", String(paused)); });
  setInterval(() => {
    const seconds = heardAt ? Math.round((Date.now() - heardAt) / 1000) : null;
    const old = seconds === null || seconds >= 5;
    put(note, seconds === null ? "live: connecting" : old ? `no data for ${seconds} s` : paused ? "paused" : `live · ${seconds} s ago`);
    note.classList.toggle("old", old && seconds !== null);
    if (old && seconds !== null) document.body.classList.add("stale");
  }, 1000);

  let socket = null, wait = 500;
  const connect = () => {
    if (socket || document.hidden) return;
    socket = new WebSocket(`wss://${location.host}/live`);
    socket.onmessage = (event) => { wait = 500; show(JSON.parse(event.data)); };
    socket.onclose = (event) => {
      socket = null;
      if (event.code === 4401) {
        // What is typed stays: the person logs in elsewhere, or here.
        document.getElementById("lost").hidden = false;
        put(document.getElementById("lost-text"), "the session is over: log in again in another tab; what is typed here stays");
        return;
      }
      setTimeout(connect, wait);
      wait = Math.min(8000, wait * 2);
    };
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) { if (socket) { socket.onclose = null; socket.close(); socket = null; } } else connect(); });
  connect();
})();
