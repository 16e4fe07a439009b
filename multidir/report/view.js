"use strict";
// The trace viewer: one text at a time, its tokens coloured by a number, its sentences banded by label.

const viewer = document.getElementById("viewer");
const page = JSON.parse(document.getElementById("v-data").textContent);
const $ = (id) => document.getElementById("v-" + id);
const positive = viewer.dataset.positive;
const state = { tab: page.traces.length ? "traces" : "steered", text: 0, token: -1, reading: 0, cell: "", shown: [] };
const unpacked = new Map();
const MINUS = "\u2212";
const REACH = 24; // tokens before a sentence that are numbered where no window says how many
const SPARE = 10; // lines of the list beyond those that can be seen
let height = 0; // of a line, in pixels; known when the first one is drawn

function make(tag, css, text) {
  const node = document.createElement(tag);
  if (css) node.className = css;
  if (text !== undefined) node.textContent = text;
  return node;
}

function signed(number, digits) {
  if (!Number.isFinite(number)) return "not known";
  const text = Math.abs(number).toFixed(digits);
  return (number < 0 && Number(text) !== 0 ? MINUS : "") + text;
}

// --- numbers ---------------------------------------------------------------------------------------

function half(bits) {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

const halves = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));

function numbers(reading, text) {
  if (!page.readings.length) return null;
  const key = reading + "/" + text;
  if (!unpacked.has(key)) {
    const bytes = atob(page.values[reading][text]);
    const found = new Float32Array(bytes.length / 2);
    for (let i = 0; i < found.length; i++) found[i] = halves[bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8)];
    unpacked.set(key, found);
  }
  return unpacked.get(key);
}

function shade(z) {
  const level = Math.max(-4, Math.min(4, Math.trunc(2 * z)));
  return level ? ` shade-${level > 0 ? "up" : "down"}-${Math.abs(level)}` : "";
}

function peak(text) {
  const values = numbers(state.reading, text);
  return values ? values.reduce((most, z) => (z > most ? z : most), -Infinity) : 0;
}

// --- the list --------------------------------------------------------------------------------------

const texts = () => (state.tab === "traces" ? page.traces : page.steered);
const marked = (text) => text.sentences.filter((s) => s[2] === positive).length;
const count = (item) => (state.tab === "traces" ? marked(item) : item.texts.reduce((n, text) => n + marked(text), 0));
const searched = new Map();

function whole(item) {
  if (!searched.has(item)) {
    const parts = item.tokens ? [item.id, " ", ...item.tokens] : [item.prompt, ...item.texts.map((t) => " " + t.text)];
    searched.set(item, parts.join("").toLowerCase());
  }
  return searched.get(item);
}

function fill() {
  const wanted = $("find").value.toLowerCase(), order = $("order").value;
  const found = texts().map((item, i) => i).filter((i) => !wanted || whole(texts()[i]).includes(wanted));
  const rank = { label: (i) => -count(texts()[i]), peak: (i) => (state.tab === "traces" ? -peak(i) : 0) }[order];
  if (rank) {
    const ranks = new Map(found.map((i) => [i, rank(i)]));
    found.sort((a, b) => ranks.get(a) - ranks.get(b) || a - b);
  }
  state.shown = found;
  $("list").replaceChildren();
  $("list").scrollTop = 0;
  rows();
  const all = state.tab === "traces" ? page.of : texts().length;
  $("count").textContent = `${found.length} of ${all}` + (found.length ? "" : ": nothing found");
}

function line(at) {
  const item = texts()[state.shown[at]], node = make("li"), button = make("button"), n = count(item);
  button.dataset.at = at;
  button.tabIndex = -1; // arrow keys walk through the list
  button.append(make("span", "", state.tab === "traces" ? item.id : `${item.prompt} (${item.target}, ${item.rollout + 1})`));
  if (n) button.append(make("small", "", `${n}×`));
  if (state.shown[at] === state.text) button.setAttribute("aria-current", "true");
  node.setAttribute("aria-setsize", state.shown.length);
  node.setAttribute("aria-posinset", at + 1);
  node.append(button);
  return node;
}

// only the lines that can be seen are in the document, and a few above and below them
function rows() {
  const list = $("list"), n = state.shown.length;
  if (!n) return list.replaceChildren();
  height ||= measured();
  const from = Math.max(0, Math.min(n, Math.floor(list.scrollTop / height)) - SPARE);
  const to = Math.min(n, from + Math.ceil(list.clientHeight / height) + 2 * SPARE);
  list.replaceChildren(...Array.from({ length: to - from }, (_, i) => line(from + i)));
  list.firstChild.style.marginTop = from * height + "px";
  list.lastChild.style.marginBottom = (n - to) * height + "px";
}

function measured() {
  $("list").replaceChildren(line(0));
  return $("list").firstChild.getBoundingClientRect().height || 24; // nothing has a height where nothing is shown
}

function select(place) {
  const at = Math.max(0, Math.min(place, state.shown.length - 1)), list = $("list");
  state.text = state.shown[at] ?? -1;
  state.token = -1;
  if (at * height < list.scrollTop || (at + 1) * height > list.scrollTop + list.clientHeight) list.scrollTop = at * height - list.clientHeight / 3;
  rows();
  draw();
}

// --- one trace -------------------------------------------------------------------------------------

function offsets(item) {
  // token -> the nearest sentence start after it, within the window of the reading
  const [first, last] = page.readings[state.reading]?.window ?? [-REACH, -1];
  const found = new Map();
  for (const [start, , label] of item.sentences) {
    if (label !== positive) continue;
    for (let offset = first; offset <= Math.max(last, 0); offset++) {
      const token = start + offset;
      if (token < 0 || token >= item.tokens.length) continue;
      const marked = offset >= first && offset <= last;
      const numbered = offset === first || (offset === last && last < -1) || offset === 0; // -1 stands beside 0
      if (!found.has(token) || Math.abs(found.get(token).offset) > Math.abs(offset)) found.set(token, { offset, marked, numbered });
    }
  }
  return found;
}

function labelOf(item, token) {
  return item.sentences.find(([start, end]) => token >= start && token < end);
}

function band(label) {
  return "sentence " + (label === null ? "label-none" : page.labels[label] ?? "label-other");
}

function drawTrace(item) {
  const values = numbers(state.reading, state.text), marks = offsets(item);
  const written = make("p", "written");
  written.dir = "auto";
  let into = written, current = null;
  item.tokens.forEach((text, i) => {
    const sentence = labelOf(item, i) ?? null;
    if (sentence !== current) {
      current = sentence;
      into = written;
      if (sentence) {
        into = make("span", band(sentence[2]));
        into.dataset.label = sentence[2] ?? "not labelled";
        written.append(into);
      }
    }
    const mark = marks.get(i);
    const token = make("span", "token" + (values ? shade(values[i]) : "") + (mark?.marked ? " place-before" : ""), text);
    token.dataset.token = i;
    if (mark?.numbered) token.dataset.offset = mark.offset < 0 ? MINUS + -mark.offset : "0";
    into.append(token);
  });
  const head = make("h3", "", `${item.id}, ${item.category}`);
  const asked = make("p", "prompt", item.prompt);
  asked.dir = "auto";
  $("panel").replaceChildren(head, ...(item.prompt ? [asked] : []), written);
}

// --- steered beside unsteered ----------------------------------------------------------------------

function drawText(text, common) {
  const box = make("article"), written = make("p", "written"), letters = [...text.text];
  written.dir = "auto";
  let done = 0;
  const put = (end, css, label) => {
    const same = Math.min(end, Math.max(common, done));
    for (const [from, to, dim] of [[done, same, " same"], [same, end, ""]]) {
      if (from >= to) continue;
      const piece = make("span", css + dim, letters.slice(from, to).join(""));
      if (label) piece.dataset.label = label;
      written.append(piece);
    }
    done = end;
  };
  for (const [start, end, label] of text.sentences) {
    put(start, "plain");
    put(end, band(label), label ?? "not labelled");
  }
  put(letters.length, "plain");
  const facts = make("dl", "facts");
  for (const [name, value] of Object.entries(text.facts)) {
    const pair = make("div");
    pair.append(make("dt", "", name), make("dd", "", value === null ? "not known" : value === true ? "yes" : value === false ? "no" : value));
    facts.append(pair);
  }
  box.append(make("h3", "", text.cell), written, facts);
  return box;
}

function drawPair(item) {
  const others = item.texts.slice(1);
  const chosen = others.find((t) => t.cell === state.cell) ?? others.reduce((best, t) => (marked(t) > marked(best) ? t : best), others[0]);
  $("cell").replaceChildren(...others.map((t) => new Option(t.cell, t.cell, false, t === chosen)));
  const plain = item.texts[0], pair = make("div", "v-pair");
  const [a, b] = [[...plain.text], [...(chosen?.text ?? "")]];
  let common = 0;
  while (common < a.length && common < b.length && a[common] === b[common]) common++;
  pair.append(drawText(plain, chosen ? common : 0), ...(chosen ? [drawText(chosen, common)] : []));
  $("panel").replaceChildren(make("h3", "", `${item.prompt}, ${item.target} model`), pair);
}

// --- what is drawn ---------------------------------------------------------------------------------

function draw() {
  const item = texts()[state.text];
  $("readout").replaceChildren();
  if (!item) $("panel").replaceChildren();
  else if (state.tab === "traces") drawTrace(item);
  else drawPair(item);
  legend();
}

function legend() {
  const line = (css, text) => {
    const item = make("li");
    item.append(make("span", css, text));
    return item;
  };
  const items = Object.entries(page.labels).map(([label, css]) => line("sentence " + css, label));
  if (state.tab === "traces" && page.readings.length) {
    const steps = [["shade-down-4", MINUS + "2 sd"], ["shade-down-2", MINUS + "1"], ["", "mean"], ["shade-up-2", "+1"], ["shade-up-4", "+2 sd"]];
    items.unshift(...steps.map(([css, text]) => line(css, text)));
    items.push(line("place-before", page.readings[state.reading].window ? "window of the direction" : `${REACH} tokens before`));
  }
  if (state.tab === "steered") items.push(line("same", "the same in both texts"));
  $("legend").replaceChildren(...items);
}

function point(token) {
  const item = page.traces[state.text];
  if (state.tab !== "traces" || !item) return;
  state.token = Math.max(0, Math.min(token, item.tokens.length - 1));
  for (const node of $("panel").querySelectorAll(".here")) node.classList.remove("here");
  const node = $("panel").querySelector(`[data-token="${state.token}"]`);
  node?.classList.add("here");
  const next = item.sentences.find(([start, , label]) => label === positive && start >= state.token);
  const label = labelOf(item, state.token);
  const said = [
    JSON.stringify(item.tokens[state.token]),
    `position ${item.first + state.token}`,
    label ? label[2] ?? "not labelled" : "in no sentence",
    next ? (next[0] === state.token ? `first token of ${positive}` : `${next[0] - state.token} before ${positive}`) : `no ${positive} after it`,
  ];
  const list = make("dl");
  page.readings.forEach((reading, i) => {
    const z = numbers(i, state.text)[state.token], pair = make("div", i === state.reading ? "chosen" : "");
    const value = reading.mean + reading.sd * z;
    pair.append(make("dt", "", reading.name), make("dd", shade(z).trim(), `${signed(value, 3)}, z ${signed(z, 2)}`));
    list.append(pair);
  });
  $("readout").replaceChildren(make("p", "", said.join(" · ")), list);
  return node;
}

function step(token) {
  point(token)?.scrollIntoView({ block: "nearest", behavior: "instant" });
}

function jump(forward) {
  const item = texts()[state.text];
  if (state.tab !== "traces" || !item) return;
  const starts = item.sentences.filter((s) => s[2] === positive).map((s) => s[0]);
  const found = forward ? starts.find((s) => s > state.token) : starts.reverse().find((s) => s < state.token);
  if (found !== undefined) step(found);
}

function turn(by) {
  const box = state.tab === "traces" ? $("reading") : $("cell");
  if (!box.options.length) return;
  box.selectedIndex = (box.selectedIndex + by + box.options.length) % box.options.length;
  box.dispatchEvent(new Event("change"));
}

function open(tab) {
  state.tab = tab;
  for (const name of ["traces", "steered"]) $("tab-" + name).setAttribute("aria-selected", String(name === tab));
  $("reading-label").hidden = tab !== "traces" || !page.readings.length;
  $("cell-label").hidden = tab !== "steered";
  $("readout").hidden = tab !== "traces";
  fill();
  select(0);
}

// --- hands -----------------------------------------------------------------------------------------

const place = () => state.shown.indexOf(state.text);
const KEYS = {
  ArrowDown: () => select(place() + 1),
  ArrowUp: () => select(place() - 1),
  ArrowRight: () => step(state.token + 1),
  ArrowLeft: () => step(state.token - 1),
  b: () => jump(true),
  B: () => jump(false),
  d: () => turn(1),
  D: () => turn(-1),
  s: () => page.steered.length && page.traces.length && open(state.tab === "traces" ? "steered" : "traces"),
  "/": () => $("find").focus(),
};

viewer.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") viewer.focus();
    return;
  }
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
$("list").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  select(Number(button.dataset.at));
  viewer.focus({ preventScroll: true });
});
$("list").addEventListener("scroll", rows);
addEventListener("resize", () => {
  height = 0;
  rows();
});
for (const kind of ["pointerover", "click"]) {
  $("panel").addEventListener(kind, (event) => {
    const token = event.target.closest?.("[data-token]");
    if (token) point(Number(token.dataset.token));
  });
}
$("reading").replaceChildren(...page.readings.map((r, i) => new Option(`${r.name} (${r.where}${r.own ? ", found in these texts" : ""})`, i)));
$("reading").addEventListener("change", () => {
  const token = state.token, at = place();
  state.reading = Number($("reading").value);
  if ($("order").value === "peak") fill();
  draw();
  if (at >= 0 && token >= 0) point(token);
});
$("cell").addEventListener("change", () => {
  state.cell = $("cell").value;
  draw();
});
for (const [id, kind] of [["find", "input"], ["order", "change"]]) {
  $(id).addEventListener(kind, () => {
    fill();
    select(0);
  });
}
for (const name of ["traces", "steered"]) $("tab-" + name).addEventListener("click", () => open(name));
if (page.traces.some((trace) => trace.sentences.some((s) => s[2] === positive))) $("order").value = "label";
$("tabs").hidden = !(page.traces.length && page.steered.length);
open(state.tab);
if (document.body.classList.contains("v-alone")) viewer.focus({ preventScroll: true });
