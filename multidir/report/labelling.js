"use strict";
// Shows one sentence at a time and keeps the labels: in the browser while one works, in a file at the end.

const page = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const shelf = "multidir-labels-" + page.hash;
const state = { name: "", place: 0, labels: {}, ...taken() };

function taken() {
  try {
    return JSON.parse(localStorage.getItem(shelf) || "{}");
  } catch {
    return {};
  }
}

function keep() {
  try {
    localStorage.setItem(shelf, JSON.stringify(state));
  } catch {
    $("lost").hidden = false; // a browser that keeps nothing must not pretend to
  }
}

function lines(id, texts) {
  $(id).replaceChildren(...texts.map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
}

function show() {
  const item = page.items[state.place];
  const done = Object.keys(state.labels).length;
  lines("before", item.before);
  $("sentence").textContent = item.sentence;
  lines("after", item.after);
  for (const button of document.querySelectorAll("#labels button")) {
    const given = state.place in state.labels && (state.labels[state.place] ?? "") === button.dataset.label;
    button.setAttribute("aria-pressed", String(given));
  }
  $("where").textContent = `Sentence ${state.place + 1} of ${page.items.length}, ${done} labelled`;
  $("bar").value = done;
  $("finished").hidden = done < page.items.length;
}

function go(place) {
  state.place = Math.min(Math.max(place, 0), page.items.length - 1);
  keep();
  show();
}

function label(name) {
  state.labels[state.place] = name || null; // no name: could not tell
  go(state.place + 1);
}

function exported() {
  const labels = Object.entries(state.labels).map(([place, name]) => {
    const { text, start, end } = page.items[place];
    return { text, start, end, label: name };
  });
  return { format: page.format, version: page.version, name: state.name, taxonomy: page.taxonomy, page: page.hash, labels };
}

function save() {
  if (!$("name").reportValidity()) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(exported(), null, 1)], { type: "application/json" }));
  link.download = `labels-${state.name}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const button of document.querySelectorAll("#labels button")) {
  button.addEventListener("click", () => label(button.dataset.label));
}
$("back").addEventListener("click", () => go(state.place - 1));
$("next").addEventListener("click", () => go(state.place + 1));
$("save").addEventListener("click", save);
$("name").value = state.name;
$("name").addEventListener("input", () => {
  state.name = $("name").value;
  keep();
});
document.addEventListener("keydown", (event) => {
  if (event.target === $("name") || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = document.querySelector(`#labels button[data-key="${CSS.escape(event.key)}"]`);
  if (button) label(button.dataset.label);
  else if (event.key === "ArrowLeft") go(state.place - 1);
  else if (event.key === "ArrowRight") go(state.place + 1);
  else return;
  event.preventDefault();
});
$("bar").max = page.items.length;
keep();
show();
