// The completion browser. Texts come from a model: they are added to the page only as text nodes, never as markup.
"use strict";
(() => {
  const AT_ONCE = 20;
  const OUTCOMES = {
    all: () => true,
    gained: ([a, b]) => a === "wrong" && b === "right",
    lost: ([a, b]) => a === "right" && b === "wrong",
    unknown: (verdicts) => verdicts.includes("unknown"),
    right: (verdicts) => verdicts.every((v) => v === "right"),
    wrong: (verdicts) => verdicts.every((v) => v === "wrong"),
  };
  const $ = (id) => document.getElementById(id);
  let sources, kinds, waiting, pattern, rows, shown;

  const number = (value) => value.toLocaleString("en");
  const element = (tag, className, textContent = "") => Object.assign(document.createElement(tag), { className, textContent });
  const label = (source) => (sources.some((s) => s.run !== source.run) ? source.run + ": " : "") + source.name;
  const left = () => sources[$("left").value];
  const right = () => ($("right").value === "last" ? "last" : sources[$("right").value]);
  const verdict = (item) => (item.score === null ? "unknown" : item.score >= 0.5 ? "right" : "wrong");
  const size = (row) => row.items.at(-1).tokens ?? row.items.at(-1).text.length;

  function fill(id, options, chosen) {
    $(id).replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => String(value) === String(chosen))) $(id).value = chosen;
  }

  // Offer the sources that answer the same problems as the left one.
  function fillRight(chosen) {
    const options = [["none", "nothing"]];
    if (left().name === "training") options.push(["last", "the same problem, last time"]);
    sources.forEach((s, i) => { if (s !== left() && s.set === left().set) options.push([i, label(s)]); });
    fill("right", options, chosen);
  }

  function pairs(a, b) {
    if (!b) return a.items.map((item) => ({ items: [item], names: [label(a)] }));
    const groups = Map.groupBy(a.items, (item) => item.problem);
    if (b === "last") {
      const changed = [...groups.values()].filter((items) => items.at(-1).step !== items[0].step);
      return changed.map((items) => ({ items: [items[0], items.at(-1)], names: ["first time", "last time"] }));
    }
    const others = Map.groupBy(b.items, (item) => item.problem);
    return [...groups].flatMap(([problem, items]) => (others.get(problem) || []).slice(0, items.length)
      .map((other, i) => ({ items: [items[i], other], names: [label(a), label(b)] })));
  }

  function pairRows() {
    rows = pairs(left(), right());
    const both = right() ? " on both sides" : "";
    const changes = right() ? [["gained", "wrong → right"], ["lost", "right → wrong"]] : [];
    const outcomes = [["all", "any"], ...changes, ["right", "right" + both], ["wrong", "wrong" + both], ["unknown", "not scorable"]];
    fill("outcome", outcomes, $("outcome").value);
    const reasons = new Set(rows.flatMap((row) => row.items.map((item) => item.reason)));
    fill("reason", [["", "any"], ...[...reasons].filter(Boolean).sort().map((r) => [r, r])], $("reason").value);
    $("steps").hidden = rows.every((row) => row.items[0].step === null);
    update();
  }

  function update() {
    const outcome = OUTCOMES[$("outcome").value], reason = $("reason").value, kind = $("behaviour").value;
    const from = +$("from").value, to = +$("to").value || Infinity, order = +$("order").value;
    const words = $("search").value.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    pattern = words && new RegExp(`(${words})`, "iu");
    shown = rows.filter(({ items }) =>
      outcome(items.map(verdict)) &&
      (!reason || items.some((item) => item.reason === reason)) &&
      (kind === "" || items.some((item) => item.parts.some((part) => part[1] === +kind))) &&
      items.some((item) => item.step === null || (item.step >= from && item.step <= to)) &&
      (!pattern || items.some((item) => pattern.test(item.text)) || pattern.test(items[0].prompt)));
    if (order) shown.sort((a, b) => order * (size(a) - size(b)));
    const total = left().of, kept = left().items.length;
    const part = kept < total ? ` The page holds ${number(kept)} of ${number(total)} completions of ${label(left())}.` : "";
    $("status").textContent = `${number(shown.length)} of ${number(rows.length)} ${right() ? "pairs" : "completions"}.${part}`;
    $("list").replaceChildren();
    showMore();
  }

  function showMore() {
    const from = $("list").childElementCount;
    $("list").append(...shown.slice(from, from + AT_ONCE).map(card));
    $("more").hidden = from + AT_ONCE >= shown.length;
  }

  function card({ items, names }) {
    const first = items[0], node = element("article", "pair"), sides = element("div", "sides");
    const evaluated = first.step === null;
    const facts = [evaluated && `Problem ${first.problem}`, first.level && `level ${first.level}`, evaluated && first.sample && `sample ${first.sample + 1}`];
    if (facts.some(Boolean)) node.append(element("h3", "", facts.filter(Boolean).join(" · ")));
    if (first.prompt) node.append(Object.assign(element("p", "prompt", first.prompt), { dir: "auto" }));
    sides.append(...items.map((item, i) => side(item, names[i])));
    node.append(sides);
    return node;
  }

  function side(item, name) {
    const found = verdict(item), node = element("div", `side is-${found}`), facts = element("p", "facts");
    const says = { right: "✓ right", wrong: "✗ wrong", unknown: "? not scorable" }[found];
    const more = [
      item.reason && `(${item.reason})`,
      item.compared,
      item.score % 1 && `score ${+item.score.toFixed(3)}`,
      item.step !== null && `step ${item.step}`,
      item.tokens !== null && `${number(item.tokens)} tokens`,
      item.finished === false && "no final answer",
      ...item.rewards.map(([key, value]) => `${key} ${value === null ? "none" : +value.toFixed(3)}`),
    ];
    facts.append(element("b", "", name), " · ", element("span", `verdict ${found}`, says), " " + more.filter(Boolean).join(" · "));
    const text = Object.assign(element("div", "text"), { dir: "auto", tabIndex: 0 });
    for (const [part, kind] of item.parts) text.append(...(kind === null ? marked(part) : [behaviour(part, kind)]));
    node.append(facts, text);
    return node;
  }

  function behaviour(part, kind) {
    const mark = Object.assign(element("mark", `s${kind}`), { title: kinds[kind] });
    mark.append(...marked(part));
    return mark;
  }

  // Every second piece is a match of the search.
  const marked = (text) => (pattern ? text.split(pattern) : [text]).map((piece, i) => (i % 2 ? element("mark", "found", piece) : piece));

  function start() {
    ({ sources, kinds } = JSON.parse($("data").textContent));
    $("data").remove();
    for (const item of sources.flatMap((source) => source.items)) item.text = item.parts.map(([text]) => text).join("");
    const evaluations = sources.map((s, i) => [s, i]).filter(([s]) => s.name !== "training");
    const last = evaluations.at(-1);
    const before = last && evaluations.filter(([s]) => s.run === last[0].run && s.set === last[0].set).at(-2);
    fill("left", sources.map((s, i) => [i, label(s)]), (before || last || [0, 0])[1]);
    fillRight(before ? last[1] : "none");
    $("filters").addEventListener("input", ({ target }) => {
      clearTimeout(waiting);
      if (target.id === "left") fillRight($("right").value);
      if (target.id === "search") waiting = setTimeout(update, 150);
      else (["left", "right"].includes(target.id) ? pairRows : update)();
    });
    $("more").addEventListener("click", showMore);
    $("filters").hidden = false;
    pairRows();
    document.body.dataset.ready = "yes";
  }

  requestAnimationFrame(() => setTimeout(start)); // after the rest of the page
})();
