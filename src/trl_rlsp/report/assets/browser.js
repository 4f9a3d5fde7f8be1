// The browser of completions. Texts come from a model: they reach the page as text nodes only, never as markup.
"use strict";
(() => {
  const PAGE = 20;
  const HIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\u{e0000}-\u{e0fff}]|\r(?!\n)/gu;
  const FIELDS = ["problem", "prompt", "text", "score", "reason", "tokens", "finished", "step", "sample", "level", "rewards", "spans", "cut", "compared"];
  const ORDERS = { file: "as recorded", longest: "longest first", shortest: "shortest first", growth: "grown most first", step: "latest step first" };
  const $ = (id) => document.getElementById(id);
  let sources, strings, kinds, waiting, rows = [], shown = [], page = 0;

  const code = (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  const visible = (text) => text.replace(HIDDEN, (c) => `⟨${code(c)}⟩`);
  const number = (value) => value.toLocaleString("en");

  function element(tag, className, text = "") {
    const node = document.createElement(tag);
    if (className) node.className = className;
    addText(node, String(text));
    return node;
  }

  // What `made` makes of each match of a pattern, and what `between` does with the text between them.
  function addSplit(node, text, pattern, made, between) {
    let from = 0;
    for (const found of text.matchAll(pattern)) {
      between(node, text.slice(from, found.index));
      node.append(made(found[0]));
      from = found.index + found[0].length;
    }
    between(node, text.slice(from));
  }

  const addText = (node, text) =>
    addSplit(node, text, HIDDEN, (c) => element("span", "hidden-char", code(c)), (into, part) => into.append(part));

  // Text with what was searched for marked.
  function addFound(node, text) {
    const pattern = searchPattern("giu");
    if (pattern) addSplit(node, text, pattern, (found) => element("mark", "found", found), addText);
    else addText(node, text);
  }

  // The text with its behaviours marked; of two that overlap, the later gets what the earlier leaves.
  function addMarked(node, item) {
    let from = 0;
    for (let i = 0; i < item.spans.length; i += 3) {
      const start = Math.max(from, item.spans[i]), end = item.spans[i + 1], kind = item.spans[i + 2];
      if (end <= start) continue;
      addFound(node, item.text.slice(from, start));
      const mark = Object.assign(element("mark", `b${kind}`), { title: kinds[kind].replace("_", " ") });
      addFound(mark, item.text.slice(start, end));
      node.append(mark);
      from = end;
    }
    addFound(node, item.text.slice(from));
  }

  function load() {
    ({ sources, strings, kinds } = JSON.parse($("data").textContent));
    $("data").remove();
    for (const source of sources) {
      source.items = source.items.map((values) => {
        const item = Object.fromEntries(FIELDS.map((name, i) => [name, values[i]]));
        for (const name of ["problem", "prompt", "reason", "compared"]) item[name] = strings[item[name]];
        return item;
      });
    }
  }

  const label = (source) => (sources.some((s) => s.run !== source.run) ? source.run + ": " : "") + source.name;
  const left = () => sources[$("left").value];
  const onRight = () => ({ none: null, last: "last" })[$("right").value] ?? sources[$("right").value] ?? null;

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

  function byProblem(items) {
    const groups = new Map();
    for (const item of items) groups.has(item.problem) ? groups.get(item.problem).push(item) : groups.set(item.problem, [item]);
    return groups;
  }

  function pairs(a, b) {
    if (b === null) return a.items.map((item) => ({ items: [item], names: [label(a)] }));
    const groups = byProblem(a.items);
    if (b === "last") {
      const changed = [...groups.values()].filter((items) => items.at(-1).step !== items[0].step);
      return changed.map((items) => ({ items: [items[0], items.at(-1)], names: ["first time", "last time"] }));
    }
    const others = byProblem(b.items);
    return [...groups].flatMap(([problem, items]) => (others.get(problem) || []).slice(0, items.length)
      .map((other, i) => ({ items: [items[i], other], names: [label(a), label(b)] })));
  }

  const verdict = (item) => (item.score === null ? "unknown" : item.score >= 0.5 ? "right" : "wrong");
  const size = (item) => (item.tokens === null ? item.text.length : item.tokens);

  function pairRows() {
    const paired = onRight() !== null;
    rows = pairs(left(), onRight());
    rows.forEach((row) => { row.verdicts = row.items.map(verdict); });
    const both = paired ? " on both sides" : "";
    const changes = paired ? [["gained", "wrong → right"], ["lost", "right → wrong"]] : [];
    const outcomes = [["all", "any"], ...changes, ["right", "right" + both], ["wrong", "wrong" + both], ["unknown", "not scorable"]];
    fill("outcome", outcomes, $("outcome").value);
    const reasons = new Set(rows.flatMap((row) => row.items.map((item) => item.reason)));
    fill("reason", [["", "any"], ...[...reasons].filter(Boolean).sort().map((r) => [r, r])], $("reason").value);
    fill("order", Object.entries(ORDERS).filter(([key]) => (key === "growth" ? paired : key !== "step" || rows[0]?.items[0].step !== null)), $("order").value);
    document.querySelector(".steps").hidden = !rows.some((row) => row.items[0].step !== null);
    update();
  }

  const OUTCOMES = {
    all: () => true,
    gained: ([a, b]) => a === "wrong" && b === "right",
    lost: ([a, b]) => a === "right" && b === "wrong",
    unknown: (verdicts) => verdicts.includes("unknown"),
    right: (verdicts) => verdicts.every((v) => v === "right"),
    wrong: (verdicts) => verdicts.every((v) => v === "wrong"),
  };

  function searchPattern(flags) {
    const words = $("search").value.trim();
    return words ? new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), flags) : null;
  }

  function update() {
    const outcome = $("outcome").value, reason = $("reason").value, kind = $("behaviour").value;
    const from = $("from").value === "" ? -Infinity : +$("from").value, to = $("to").value === "" ? Infinity : +$("to").value;
    const pattern = searchPattern("iu");
    const hasKind = (item) => item.spans.some((value, i) => i % 3 === 2 && value === +kind);
    shown = rows.filter((row) =>
      OUTCOMES[outcome](row.verdicts) &&
      (!reason || row.items.some((item) => item.reason === reason)) &&
      (kind === "" || row.items.some(hasKind)) &&
      row.items.some((item) => item.step === null || (item.step >= from && item.step <= to)) &&
      (!pattern || row.items.some((item) => pattern.test(item.text)) || pattern.test(row.items[0].prompt)));
    const last = (row) => row.items.at(-1);
    const by = {
      longest: (a, b) => size(last(b)) - size(last(a)),
      shortest: (a, b) => size(last(a)) - size(last(b)),
      growth: (a, b) => size(last(b)) - size(b.items[0]) - size(last(a)) + size(a.items[0]),
      step: (a, b) => last(b).step - last(a).step,
    }[$("order").value];
    if (by) shown.sort(by);
    page = 0;
    render();
  }

  function render() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE)), total = left().of, kept = left().items.length;
    $("list").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(card));
    const part = kept < total ? ` The page holds ${number(kept)} of ${number(total)} completions of ${visible(label(left()))}.` : "";
    $("status").textContent = `${number(shown.length)} of ${number(rows.length)} ${onRight() ? "pairs" : "completions"}.${part}`;
    $("place").textContent = `page ${page + 1} of ${pages}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page >= pages - 1;
    document.querySelector(".pager").hidden = pages < 2;
    for (const text of $("list").querySelectorAll(".text")) addMore(text);
  }

  function card(row) {
    const first = row.items[0], node = element("article", "pair"), sides = element("div", "sides");
    const evaluated = first.step === null;
    const facts = [evaluated && `Problem ${first.problem}`, first.level !== null && `level ${first.level}`, evaluated && first.sample && `sample ${first.sample + 1}`];
    if (facts.some(Boolean)) node.append(element("h3", "", facts.filter(Boolean).join(" · ")));
    if (first.prompt) node.append(Object.assign(element("p", "prompt", first.prompt), { dir: "auto" }));
    row.items.forEach((item, i) => sides.append(side(item, row.names[i], row.verdicts[i])));
    node.append(sides);
    return node;
  }

  function side(item, name, found) {
    const node = element("div", `side is-${found}`), facts = element("p", "facts"), text = element("div", "text");
    const says = { right: "✓ right", wrong: "✗ wrong", unknown: "? not scorable" }[found];
    facts.append(element("b", "", name), " · ", element("span", `verdict ${found}`, says));
    const more = [
      item.reason && `(${item.reason})`,
      item.compared,
      item.score % 1 && `score ${+item.score.toFixed(3)}`,
      item.step !== null && `step ${item.step}`,
      item.tokens !== null && `${number(item.tokens)} tokens`,
      item.finished === false && "no final answer",
      ...item.rewards.map(([key, value]) => `${strings[key]} ${value === null ? "none" : +value.toFixed(3)}`),
      item.cut && `${number(item.cut)} characters left out in the middle`,
    ];
    addText(facts, " " + more.filter(Boolean).join(" · "));
    Object.assign(text, { dir: "auto", tabIndex: 0 });
    addMarked(text, item);
    node.append(facts, text);
    return node;
  }

  function addMore(text) {
    if (text.scrollHeight <= text.clientHeight + 4) return;
    const button = Object.assign(element("button", "more", "show all"), { type: "button" });
    button.addEventListener("click", () => { button.textContent = text.classList.toggle("open") ? "show less" : "show all"; });
    text.after(button);
  }

  function start() {
    load();
    const evaluations = sources.map((s, i) => [s, i]).filter(([s]) => s.name !== "training");
    const last = evaluations.at(-1);
    const before = last && evaluations.filter(([s]) => s.run === last[0].run && s.set === last[0].set).at(-2);
    fill("left", sources.map((s, i) => [i, label(s)]), (before || last || [0, 0])[1]);
    fillRight(before ? last[1] : "none");
    fill("behaviour", [["", "any"], ...kinds.map((kind, i) => [i, kind.replace("_", " ")])], "");
    kinds.forEach((kind, i) => {
      $("kinds").append(element("li", `b${i}`));
      $("kinds").lastChild.append(element("i"), kind.replace("_", " "));
    });
    $("left").addEventListener("change", () => { fillRight($("right").value); pairRows(); });
    $("right").addEventListener("change", pairRows);
    for (const id of ["outcome", "reason", "behaviour", "order", "from", "to"]) $(id).addEventListener("change", update);
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(update, 150); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    for (const [id, by] of [["previous", -1], ["next", 1]]) {
      $(id).addEventListener("click", () => { page += by; render(); $("completions").scrollIntoView(); });
    }
    $("filters").hidden = false;
    pairRows();
    document.body.dataset.ready = "yes";
  }

  requestAnimationFrame(() => setTimeout(start)); // the rest of the page first
})();
