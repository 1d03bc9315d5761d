"use strict";

// What is shown comes from the Coordinator once a second. Names and labels are whatever Clients like, so they become text and nothing else.

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 300;
const SHOWN = 20;

const at = (id) => document.getElementById(id);

function make(tag, kind, ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

// With what cannot be seen, or turns text around, as its number.
function visible(text) {
  return text.replace(/\p{C}|\p{Zl}|\p{Zp}/gu, (it) => `\\u{${it.codePointAt(0).toString(16)}}`);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Numbers, as people read them.

function count(number) {
  return number == null ? "–" : number.toLocaleString("en");
}

function scaled(number, unit) {
  if (number == null) return "–";
  let step = 0;
  const steps = ["", "k", "M", "G", "T", "P"];
  while (number >= 1000 && step < steps.length - 1) {
    number /= 1000;
    step += 1;
  }
  const digits = step === 0 || number >= 100 ? 0 : 1;
  return `${number.toFixed(digits)} ${steps[step]}${unit}`;
}

function rate(number) {
  if (number == null) return "–";
  return number >= 100 ? count(Math.round(number)) : number.toFixed(number > 0 && number < 10 ? 1 : 0);
}

function time(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((size) => Math.floor(seconds / size));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.max(0, Math.floor(seconds))} s`;
}

function short(id) {
  return id.slice(0, 8) + "…";
}

// Plots: the newest value is at the right.

function plot(svg, series, slots) {
  const most = Math.max(...series.flatMap((it) => it.values.slice(-slots)));
  series.forEach((one, index) => {
    const values = one.values.slice(-slots);
    const x = (place) => slots - values.length + place;
    const points = values.map((value, place) => `${x(place)},${(100 - (value / most) * 94).toFixed(1)}`).join(" ");
    const [area, line] = [svg.children[2 * index], svg.children[2 * index + 1]];
    // Where nothing has happened there is nothing to be seen.
    line.setAttribute("points", most > 0 ? points : "");
    area.setAttribute("points", most > 0 ? `${x(0)},100 ${points} ${x(values.length - 1)},100` : "");
  });
  return most;
}

function canvas(slots, kinds) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${slots - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const kind of kinds) {
    for (const shape of ["polygon", "polyline"]) {
      const made = document.createElementNS(SVG, shape);
      made.setAttribute("class", kind);
      svg.append(made);
    }
  }
  return svg;
}

const past = { clients: [], channels: [], bytes: [], drops: [], lost: [] };

function remember(totals) {
  const now = {
    clients: totals.clients,
    channels: totals.channels,
    bytes: totals.bytes_per_second ?? 0,
    drops: totals.drops_per_second ?? 0,
    lost: totals.lost_per_second ?? 0,
  };
  for (const [what, values] of Object.entries(past)) {
    values.push(now[what]);
    if (values.length > KEPT) values.shift();
  }
}

function tile(title, value, more, history) {
  const [big, small] = [make("b"), make("span", "quiet")];
  const kind = history === past.lost ? "second" : "first";
  const svg = history && canvas(60, [kind]);
  const parts = [make("span", "quiet", title), big, small];
  at("tiles").append(make("div", "card tile", ...(svg ? [svg] : []), ...parts));
  return (totals) => {
    put(big, value(totals));
    put(small, more(totals));
    if (svg) plot(svg, [{ values: history }], 60);
  };
}

function graph(title, unit, series) {
  const svg = canvas(KEPT, series.map((it) => it.kind));
  const scale = make("span", "");
  const keys = series.map((it) => make("span", `key ${it.kind}`, it.title));
  const head = make("div", "quiet", ...keys, scale);
  at("plots").append(make("div", "card plot", make("h2", "", title), head, svg));
  return () => {
    const most = plot(svg, series, KEPT);
    put(scale, most > 0 ? `up to ${unit(most)}` : "none");
  };
}

const parts = [
  tile("Clients", (it) => count(it.clients), () => "connected", past.clients),
  tile("Channels", (it) => count(it.channels),
    (it) => `${count(it.paths.direct)} direct, ${count(it.paths.forwarded)} forwarded`, past.channels),
  tile("Forwarded", (it) => scaled(it.bytes_per_second, "B/s"), (it) => `${scaled(it.bytes_forwarded, "B")} in all`, past.bytes),
  tile("Not forwarded", (it) => `${rate(it.drops_per_second)} /s`, (it) => `${count(it.forwards_dropped)} packets in all`, past.drops),
  tile("Groups", (it) => count(it.groups), (it) => `${count(it.members)} members`),
  graph("Throughput", (it) => scaled(it, "B/s"), [{ title: "forwarded between Clients", kind: "first", values: past.bytes }]),
  graph("Losses", (it) => `${rate(it)} packets/s`, [
    { title: "not forwarded", kind: "first", values: past.drops },
    { title: "lost on the way to Clients", kind: "second", values: past.lost },
  ]),
];

// Lists: a row stays the same one as long as it is about the same.

function list(title, nothing, columns, keyOf) {
  const head = make("tr", "", ...columns.map((it) => make("th", it.kind ?? "", it.title)));
  const body = make("tbody");
  const number = make("small");
  const table = make("table", "", make("thead", "", head), body);
  const none = make("p", "none", nothing);
  at("lists").append(make("section", "card list", make("h2", "", `${title} `, number), table, none));
  const row = (key) => {
    const made = make("tr", "", ...columns.map((it) => make("td", it.kind ?? "")));
    columns.forEach((it, place) => (made.children[place].dataset.head = it.head ?? it.title.toLowerCase()));
    made.dataset.key = key;
    return made;
  };
  return (items, found) => {
    put(number, items.length < found ? `the busiest ${items.length} of ${count(found)}` : "");
    table.hidden = items.length === 0;
    none.hidden = items.length > 0;
    put(none, find.value ? "Nothing like that." : nothing);
    const before = new Map(Array.from(body.children, (it) => [it.dataset.key, it]));
    items.forEach((item, place) => {
      const key = keyOf(item);
      const shown = before.get(key) ?? row(key);
      before.delete(key);
      columns.forEach((it, index) => it.fill(shown.children[index], item));
      if (body.children[place] !== shown) body.insertBefore(shown, body.children[place] ?? null);
    });
    before.forEach((it) => it.remove());
  };
}

const column = (title, kind, text, head) => ({ title, kind, head, fill: (cell, it) => put(cell, text(it)) });

// With parts, each of its own look.
function parted(title, kind, ...looks) {
  const fill = (cell, texts) => {
    if (!cell.firstChild) cell.append(...looks.map((it) => make(it ? "span" : "bdi", it)));
    texts.forEach((it, place) => {
      put(cell.children[place], it.text);
      cell.children[place].title = it.title ?? "";
      if (it.look) cell.children[place].className = it.look;
    });
  };
  return (texts) => ({ title, kind, fill: (cell, it) => fill(cell, texts(it)) });
}

// A name, or an id where there is none; the whole id shows when it is pointed at.
const called = (name, id) => ({ text: name ?? short(id), title: id });

const find = at("find");
let now = 0;

const lists = {
  clients: list("Clients", "Nobody is connected yet.", [
    parted("Name", "wide", "", "quiet")((it) => {
      const named = it.names.length > 0;
      return [called(named ? it.names.join(", ") : null, it.id), { text: named ? short(it.id) : "", title: it.id }];
    }),
    column("Address", "plain", (it) => it.address),
    column("Connected", "", (it) => time((now - Date.parse(it.since)) / 1000), "for"),
    column("Channels", "", (it) => paths(it.paths)),
    column("Round trip", "number", (it) => (it.rtt_seconds == null ? "–" : `${(it.rtt_seconds * 1000).toFixed(1)} ms`)),
    column("Lost", "number", (it) => count(it.lost)),
    column("Traffic", "number", (it) => scaled(it.bytes_per_second, "B/s")),
  ], (it) => it.id),
  channels: list("Channels", "There are no channels between Clients yet.", [
    parted("Between", "wide", "", "to", "")((it) => [called(it.names[0], it.from), { text: " → " }, called(it.names[1], it.to)]),
    parted("For", "plain", "")((it) => [{ text: visible(it.label), title: visible(it.label) }]),
    parted("Path", "plain", "path")((it) => [{ text: pathOf(it), look: `path ${pathOf(it)}` }]),
    column("Forwarded", "number", (it) => scaled(it.bytes, "B")),
    column("Now", "number", (it) => scaled(it.bytes_per_second, "B/s")),
  ], (it) => it.pair),
  groups: list("Groups", "There are no groups yet.", [
    parted("Name", "wide", "")((it) => [{ text: it.name }]),
    column("Members", "", (it) => count(it.members)),
    column("Publishers", "", (it) => count(it.publishers)),
    column("Messages", "number", (it) => count(it.messages)),
    column("Now", "number", (it) => `${rate(it.messages_per_second)} /s`),
  ], (it) => it.name),
};

function pathOf(channel) {
  if (!channel.started) return "arranging";
  return channel.direct ? "direct" : "forwarded";
}

function paths(them) {
  const some = ["direct", "forwarded", "arranging"].filter((it) => them[it] > 0);
  return some.length ? some.map((it) => `${them[it]} ${it}`).join(", ") : "none";
}

function showLists(view) {
  now = Date.parse(view.time);
  for (const [what, show] of Object.entries(lists)) show(view[what], view.found[what]);
}

// What is looked for may not be among the busiest, so that the Coordinator is asked for it.

let asked = 0;

async function look() {
  const wanted = find.value.trim();
  const mine = ++asked;
  const answer = await fetch(`status?most=${SHOWN}&find=${encodeURIComponent(wanted)}`);
  if (answer.ok && mine === asked) showLists(await answer.json());
}

find.addEventListener("input", () => look().catch(() => {}));

function show(view) {
  remember(view.totals);
  parts.forEach((it) => it(view.totals));
  put(at("about"), `version ${view.version}, up ${time(view.uptime_seconds)}`);
  if (find.value.trim()) look().catch(() => {});
  else showLists(view);
}

// Who does not see the page does not watch.

let source = null;

function state(kind, text) {
  at("state").className = kind;
  put(at("state"), text);
}

function watch() {
  if (source || document.hidden) return;
  source = new EventSource("events");
  source.onmessage = (event) => {
    state("live", "live");
    show(JSON.parse(event.data));
  };
  source.onerror = () => {
    state("lost", "not connected, trying again");
    if (source?.readyState !== EventSource.CLOSED) return;
    leave();
    setTimeout(watch, 3000);
  };
}

function leave() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
watch();
