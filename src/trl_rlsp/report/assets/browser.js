// The browser of completions. Texts come from a model: they reach the page as text nodes only, never as markup.
"use strict";
(() => {
  const PAGE = 20;
  const HIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\u{e0000}-\u{e0fff}]|\r(?!\n)/gu;
  const FIELDS = ["problem", "prompt", "text", "score", "reason", "tokens", "finished", "step", "sample", "level", "rewards", "spans", "cut", "compared"];
  const ORDERS = { file: "as recorded", longest: "longest first", shortest: "shortest first", growth: "grown most first", step: "latest step first" };
  const $ = (id) => document.getElementById(id);
  let sources, strings, kinds, rows = [], shown = [], page = 0;

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) addText(node, String(text));
    return node;
  }

  // Text with its hidden characters shown by number.
  function addText(node, text) {
    let from = 0;
    for (const found of text.matchAll(HIDDEN)) {
      node.append(text.slice(from, found.index));
      const mark = document.createElement("span");
      mark.className = "hidden-char";
      mark.textContent = "U+" + found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      node.append(mark);
      from = found.index + found[0].length;
    }
    node.append(text.slice(from));
  }

  const visible = (text) => text.replace(HIDDEN, (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");

  function load() {
    const data = JSON.parse($("data").textContent);
    $("data").remove();
    strings = data.strings;
    kinds = data.kinds;
    sources = data.sources;
    for (const source of sources) {
      source.items = source.items.map((values) => {
        const item = Object.fromEntries(FIELDS.map((name, i) => [name, values[i]]));
        for (const name of ["problem", "prompt", "reason", "compared"]) item[name] = strings[item[name]];
        return item;
      });
    }
  }

  const severalRuns = () => new Set(sources.map((s) => s.run)).size > 1;
  const label = (source) => (severalRuns() ? source.run + ": " : "") + source.name;
  const left = () => sources[$("left").value];
  const onRight = () => ($("right").value === "none" ? null : $("right").value === "last" ? "last" : sources[$("right").value]);

  function fill(id, options, chosen) {
    const select = $(id);
    select.replaceChildren(...options.map(([value, text]) => new Option(visible(text), value)));
    if (options.some(([value]) => String(value) === String(chosen))) select.value = chosen;
  }

  // The sources that answer the same problems as the left one.
  function fillRight(chosen) {
    const options = [["none", "nothing"]];
    if (left().name === "training") options.push(["last", "the same problem, last time"]);
    sources.forEach((s, i) => { if (s !== left() && s.set === left().set) options.push([i, label(s)]); });
    fill("right", options, chosen);
  }

  function pairRows() {
    const a = left(), b = onRight();
    const groups = (items) => {
      const map = new Map();
      for (const item of items) {
        if (!map.has(item.problem)) map.set(item.problem, []);
        map.get(item.problem).push(item);
      }
      return map;
    };
    if (b === null) rows = a.items.map((item) => ({ items: [item], names: [label(a)] }));
    else if (b === "last") {
      rows = [];
      for (const items of groups(a.items).values()) {
        const last = items[items.length - 1];
        if (last.step !== items[0].step) rows.push({ items: [items[0], last], names: ["first time", "last time"] });
      }
    } else {
      const others = groups(b.items);
      rows = [];
      for (const [problem, items] of groups(a.items)) {
        (others.get(problem) || []).forEach((other, i) => {
          if (items[i]) rows.push({ items: [items[i], other], names: [label(a), label(b)] });
        });
      }
    }
    rows.forEach((row) => { row.verdicts = row.items.map(verdict); });
    const paired = b !== null;
    const outcomes = paired
      ? [["all", "any"], ["gained", "wrong → right"], ["lost", "right → wrong"], ["right", "right on both sides"], ["wrong", "wrong on both sides"], ["unknown", "not scorable"]]
      : [["all", "any"], ["right", "right"], ["wrong", "wrong"], ["unknown", "not scorable"]];
    fill("outcome", outcomes, $("outcome").value);
    const reasons = new Set(rows.flatMap((row) => row.items.map((item) => item.reason)));
    fill("reason", [["", "any"], ...[...reasons].filter(Boolean).sort().map((r) => [r, r])], $("reason").value);
    fill("order", Object.entries(ORDERS).filter(([key]) => (key === "growth" ? paired : key !== "step" || rows[0]?.items[0].step !== null)), $("order").value);
    document.querySelector(".steps").hidden = !rows.some((row) => row.items[0].step !== null);
    update();
  }

  const verdict = (item) => (item.score === null ? "unknown" : item.score >= 0.5 ? "right" : "wrong");
  const size = (item) => (item.tokens === null ? item.text.length : item.tokens);

  function outcomeFits(row, wanted) {
    const [a, b] = row.verdicts;
    if (wanted === "all") return true;
    if (wanted === "gained") return a === "wrong" && b === "right";
    if (wanted === "lost") return a === "right" && b === "wrong";
    if (wanted === "unknown") return row.verdicts.includes("unknown");
    return row.verdicts.every((v) => v === wanted);
  }

  function searchPattern() {
    const words = $("search").value.trim();
    return words ? new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu") : null;
  }

  function hasKind(item, kind) {
    for (let i = 2; i < item.spans.length; i += 3) if (item.spans[i] === kind) return true;
    return false;
  }

  function update() {
    const outcome = $("outcome").value, reason = $("reason").value, kind = $("behaviour").value;
    const from = $("from").value === "" ? -Infinity : +$("from").value, to = $("to").value === "" ? Infinity : +$("to").value;
    const pattern = searchPattern();
    shown = rows.filter((row) =>
      outcomeFits(row, outcome) &&
      (!reason || row.items.some((item) => item.reason === reason)) &&
      (kind === "" || row.items.some((item) => hasKind(item, +kind))) &&
      row.items.some((item) => item.step === null || (item.step >= from && item.step <= to)) &&
      (!pattern || row.items.some((item) => pattern.test(item.text)) || pattern.test(row.items[0].prompt)));
    sortRows();
    page = 0;
    render();
  }

  function sortRows() {
    const last = (row) => row.items[row.items.length - 1];
    const by = {
      longest: (a, b) => size(last(b)) - size(last(a)),
      shortest: (a, b) => size(last(a)) - size(last(b)),
      growth: (a, b) => size(last(b)) - size(b.items[0]) - size(last(a)) + size(a.items[0]),
      step: (a, b) => last(b).step - last(a).step,
    }[$("order").value];
    if (by) shown.sort(by);
  }

  function render() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    $("list").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(card));
    const total = left().of, kept = left().items.length;
    const part = kept < total ? ` The page holds ${number(kept)} of ${number(total)} completions of ${visible(label(left()))}.` : "";
    $("status").textContent = `${number(shown.length)} of ${number(rows.length)} ${onRight() ? "pairs" : "completions"}.${part}`;
    $("place").textContent = `page ${page + 1} of ${pages}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page >= pages - 1;
    document.querySelector(".pager").hidden = pages < 2;
    for (const side of $("list").querySelectorAll(".text")) addMore(side);
  }

  const number = (value) => value.toLocaleString("en");

  function card(row) {
    const first = row.items[0];
    const node = element("article", "pair");
    const name = first.step === null ? `Problem ${first.problem}` : "";
    const facts = [name, first.level === null ? "" : `level ${first.level}`, first.sample && first.step === null ? `sample ${first.sample + 1}` : ""];
    if (facts.some(Boolean)) node.append(element("h3", "", facts.filter(Boolean).join(" · ")));
    if (first.prompt) {
      const prompt = element("p", "prompt", first.prompt);
      prompt.dir = "auto";
      node.append(prompt);
    }
    const sides = element("div", "sides");
    row.items.forEach((item, i) => sides.append(side(item, row.names[i], row.verdicts[i])));
    node.append(sides);
    return node;
  }

  function side(item, name, found) {
    const node = element("div", `side is-${found}`);
    const facts = element("p", "facts");
    facts.append(element("b", "", name), " · ");
    facts.append(element("span", `verdict ${found}`, { right: "✓ right", wrong: "✗ wrong", unknown: "? not scorable" }[found]));
    const more = [
      item.reason && `(${item.reason})`,
      item.compared,
      item.score !== null && item.score !== 0 && item.score !== 1 ? `score ${+item.score.toFixed(3)}` : "",
      item.step === null ? "" : `step ${item.step}`,
      item.tokens === null ? "" : `${number(item.tokens)} tokens`,
      item.finished === false ? "no final answer" : "",
      ...item.rewards.map(([key, value]) => `${strings[key]} ${value === null ? "none" : +value.toFixed(3)}`),
      item.cut ? `${number(item.cut)} characters left out in the middle` : "",
    ];
    addText(facts, " " + more.filter(Boolean).join(" · "));
    const text = element("div", "text");
    text.dir = "auto";
    text.tabIndex = 0;
    addMarked(text, item);
    node.append(facts, text);
    return node;
  }

  // The text with its behaviours marked; of two that overlap, the later gets what the earlier leaves.
  function addMarked(node, item) {
    let from = 0;
    for (let i = 0; i < item.spans.length; i += 3) {
      const start = Math.max(from, item.spans[i]), end = item.spans[i + 1], kind = item.spans[i + 2];
      if (end <= start) continue;
      addFound(node, item.text.slice(from, start));
      const mark = element("mark", `b${kind}`);
      mark.title = kinds[kind].replace("_", " ");
      addFound(mark, item.text.slice(start, end));
      node.append(mark);
      from = end;
    }
    addFound(node, item.text.slice(from));
  }

  function addFound(node, text) {
    const pattern = searchPattern();
    let from = 0;
    if (pattern) {
      for (const found of text.matchAll(new RegExp(pattern.source, "giu"))) {
        addText(node, text.slice(from, found.index));
        node.append(element("mark", "found", found[0]));
        from = found.index + found[0].length;
      }
    }
    addText(node, text.slice(from));
  }

  function addMore(text) {
    if (text.scrollHeight <= text.clientHeight + 4) return;
    const button = element("button", "more", "show all");
    button.type = "button";
    button.addEventListener("click", () => {
      button.textContent = text.classList.toggle("open") ? "show less" : "show all";
    });
    text.after(button);
  }

  function turn(by) {
    page += by;
    render();
    $("completions").scrollIntoView();
  }

  function start() {
    load();
    const evaluations = sources.map((s, i) => [s, i]).filter(([s]) => s.name !== "training");
    const last = evaluations.at(-1);
    const before = last && evaluations.filter(([s]) => s.run === last[0].run && s.set === last[0].set).at(-2);
    fill("left", sources.map((s, i) => [i, label(s)]), (before || last || [0, 0])[1]);
    fillRight(before ? last[1] : "none");
    fill("behaviour", [["", "any"], ...kinds.map((kind, i) => [i, kind.replace("_", " ")])], "");
    $("kinds").replaceChildren(...kinds.map((kind, i) => {
      const item = element("li", `b${i}`);
      item.append(element("i"), kind.replace("_", " "));
      return item;
    }));
    let waiting;
    $("left").addEventListener("change", () => { fillRight($("right").value); pairRows(); });
    $("right").addEventListener("change", pairRows);
    for (const id of ["outcome", "reason", "behaviour", "order", "from", "to"]) $(id).addEventListener("change", update);
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(update, 150); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("previous").addEventListener("click", () => turn(-1));
    $("next").addEventListener("click", () => turn(1));
    $("filters").hidden = false;
    pairRows();
    document.body.dataset.ready = "yes";
  }

  requestAnimationFrame(() => setTimeout(start)); // the rest of the page first
})();
