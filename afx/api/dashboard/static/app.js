// What a page does beside being a page: live data, dialogs, selection, finding, times, theme.
const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- times ---------------------------------------------------------------------------------
const SPANS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
function relative(seconds) {
  const ago = Math.max(0, Math.abs(seconds));
  const [, unit, name] = SPANS.find(([bound]) => ago < bound);
  const text = `${Math.floor(ago / unit)} ${name}`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}
function showTimes() {
  for (const it of all("time[datetime]")) {
    const text = relative((Date.now() - Date.parse(it.dateTime)) / 1000);
    if (it.textContent !== text) it.textContent = text;
  }
}
showTimes();
setInterval(showTimes, 5000);
// What a refresh brings is absolute, and wider: it is made relative before it is painted.
new MutationObserver(showTimes).observe(document.body, {
  childList: true, characterData: true, subtree: true,
});

// --- theme ---------------------------------------------------------------------------------
function showTheme() {
  const chosen = localStorage.getItem("afx-theme") || "system";
  for (const it of all("#theme button")) it.setAttribute("aria-pressed", it.value === chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
all("#theme button").forEach((it) => it.addEventListener("click", () => {
  localStorage.setItem("afx-theme", it.value);
  showTheme();
}));
showTheme();

// --- live data -----------------------------------------------------------------------------
const live = $("#live");
const TURN = 2000; // milliseconds from one refresh of figures to the next
let lastNews = 0, wanted = false, busy = false, state = "connecting";
// Some refreshes at once, then one a second: who has clicked sees the answer, and a busy cluster costs little.
let refreshes = 4, refilled = Date.now();
async function refresh() {
  const main = $("#main");
  if (!main?.hasAttribute("data-live") || document.hidden || busy || $("dialog[open]")) return;
  refreshes = Math.min(4, refreshes + (Date.now() - refilled) / 1000);
  refilled = Date.now();
  if (refreshes < 1) return;
  refreshes -= 1; busy = true; wanted = false;
  try {
    const here = new URL(location.href);
    here.searchParams.delete("said");
    const { newest, shown } = main.dataset;
    await htmx.ajax("GET", here.pathname + here.search, {
      target: "#main", select: "#main", swap: "outerMorph",
      // What came since the page was opened waits for a click, and pushes nothing away.
      headers: { ...(newest && { "afx-seen": newest }), ...(shown && { "afx-shown": shown }) },
    });
  } catch { /* the stream says what is wrong */ } finally { busy = false; }
  if (wanted) refresh(); // something came meanwhile
}
// --- rows that leave a list, and rows that come ----------------------------------------------
// Who is about to click must not hit another row: what left stays, marked; what came is counted.
document.addEventListener("htmx:before:swap", ({ detail }) => {
  for (const it of detail.tasks) if (it.fragment && $("#main", it.fragment)) keepRows(it.fragment);
});
function keepRows(fresh) {
  for (const old of all("#main [data-kept]")) {
    const rows = all("tbody tr[id]", old), next = fresh.querySelector(`#${CSS.escape(old.id)}`);
    if (!next || !rows.length) continue;
    const came = new Map(all("tbody tr[id]", next).map((it) => [it.id, it]));
    const last = rows.findLastIndex((it) => came.has(it.id)); // below it: perhaps on the next page
    const full = $("[rel=next]", next);
    if (!came.size) next.replaceChildren(...[...old.children].map((it) => it.cloneNode(true)));
    const kept = rows.map((row, index) => {
      const found = came.get(row.id);
      came.delete(row.id);
      return found || (full && index > last ? row.cloneNode(true) : left(row));
    });
    const append = old.dataset.kept === "append";
    $("tbody", next).replaceChildren(...kept, ...(append ? came.values() : []));
    const link = fresh.querySelector(`[data-of~="${CSS.escape(old.id)}"]`);
    if (append || !came.size || !link) continue;
    const count = link.dataset.fresh = `${parseInt(link.dataset.fresh || 0, 10) + came.size}${link.dataset.fresh.endsWith("+") ? "+" : ""}`;
    $("span", link).textContent = `${count} new row${count === "1" ? "" : "s"}`;
    link.removeAttribute("data-none");
  }
}
function left(row) {
  const it = row.cloneNode(true);
  if ("left" in it.dataset) return it;
  it.dataset.left = "";
  it.title = "It has left this list; open the list again to be without it.";
  const said = document.createElement("span");
  said.className = "sr";
  said.textContent = " (has left this list)";
  it.cells[0].append(said);
  return it;
}
function showState() {
  if (!live) return;
  live.dataset.state = state === "live" ? "live" : "stale";
  const ago = (Date.now() - lastNews) / 1000;
  $("span", live).textContent = state === "live" ? "Live" : state === "stale" ? "Stale" : "Connecting";
  live.title = lastNews ? `Last news ${relative(ago)}` : "";
}
function heard(message) {
  if (message.state) {
    state = message.state;
    const stale = $("#stale");
    if (stale) {
      stale.hidden = state !== "stale";
      $("#stale-text").textContent = message.detail || "";
      $("#main").toggleAttribute("data-stale", state === "stale");
    }
  } else {
    lastNews = Date.now();
    state = "live";
    wanted = true;
    if (["events", "resync"].includes(message.topic)) $("#changed")?.removeAttribute("data-none");
    // A page that was just opened shows the figures as they are: it waits for the next turn.
    if (message.topic === "events" || (message.topic === "status" && performance.now() > TURN)) refresh();
  }
  showState();
}
if (live && "SharedWorker" in window) {
  const port = new SharedWorker(live.dataset.events).port;
  port.onmessage = (it) => heard(it.data);
  addEventListener("pagehide", () => port.postMessage("bye"));
  addEventListener("pageshow", (it) => { if (it.persisted) location.reload(); });
  setInterval(() => { if (wanted) refresh(); }, TURN);
}
showState();

// --- what takes its time -------------------------------------------------------------------
const waits = (it) => $(".progress-line")?.classList.toggle("htmx-request", it);
addEventListener("pageshow", () => waits(false));

// --- dialogs -------------------------------------------------------------------------------
const dialog = $("#dialog");
async function openDialog(address) {
  // A source of its own: a request that waits behind a refresh is "done" before it has an answer.
  waits(true);
  try {
    await htmx.ajax("GET", address, { source: "#dialog", target: "#dialog", swap: "innerHTML" });
  } finally { waits(false); }
  if (!$("form", dialog)) { location.assign(address); return; }
  dialog.showModal();
  checkTyped();
  $("[autofocus], .field input, .field select, .field textarea", dialog)?.focus();
}
function checkTyped() {
  const typed = $("[data-typed]", dialog);
  if (typed) $("[type=submit]", dialog).disabled = typed.value !== typed.dataset.typed;
}
dialog?.addEventListener("input", checkTyped);
document.addEventListener("click", (event) => {
  const target = event.target.closest("a, button");
  if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (target.matches("[data-action]") && dialog) {
    event.preventDefault();
    const address = new URL(target.href);
    if (target.matches("[data-bulk]")) {
      address.searchParams.set("back", location.pathname + location.search);
      for (const it of selected()) address.searchParams.append("target", it.value);
    }
    openDialog(address.pathname + address.search);
  } else if (target.matches("[data-close]") && dialog?.open) {
    event.preventDefault();
    dialog.close();
  } else if (target.matches("[data-dismiss]")) {
    target.closest(".toast").remove();
  } else if (target.matches("[data-show]")) {
    for (const it of all("[data-show]", dialog)) it.setAttribute("aria-pressed", it === target);
    for (const it of all("[data-form]")) it.hidden = it.dataset.form !== target.dataset.show;
  } else if (target.matches("[data-copy], .code > button")) {
    const text = $("pre:not([hidden])", target.closest(".code")).textContent;
    navigator.clipboard?.writeText(text.replace("ADDRESS", location.origin));
    target.dataset.tone = "ok";
  }
});
document.addEventListener("submit", (event) => {
  const button = $("[type=submit]", event.target);
  if (event.target.method === "post" && button) button.setAttribute("aria-busy", "true");
  waits(true);
});
if ($("#said") && new URL(location.href).searchParams.has("said")) {
  const here = new URL(location.href);
  here.searchParams.delete("said");
  history.replaceState(null, "", here);
}

// --- selection -----------------------------------------------------------------------------
const selected = () => all("input[name=target]:checked");
function showSelection() {
  const bulk = $("#bulk");
  if (!bulk) return;
  const count = selected().length;
  bulk.hidden = !count;
  $("#bulk-count").textContent = count;
  for (const it of all("input[name=target]")) it.closest("tr").ariaSelected = it.checked;
  const everything = $("#all");
  everything.checked = count > 0 && count === all("input[name=target]").length;
  everything.indeterminate = count > 0 && !everything.checked;
}
document.addEventListener("change", (event) => {
  if (event.target.id === "all")
    for (const it of all("input[name=target]")) it.checked = event.target.checked;
  if (event.target.matches(".check")) showSelection();
});
$("#bulk-close")?.addEventListener("click", () => {
  for (const it of selected()) it.checked = false;
  showSelection();
});
showSelection();

// --- finding anything ----------------------------------------------------------------------
const palette = $("#palette"), input = $("#palette-in"), found = $("#found");
const PLACES = { session: "/sessions/", worker: "/nodes/", user: "/users/", rule: "/rules?session=", control: "/controls/", task: "/tasks/" };
const HEADS = { session: "Sessions", worker: "Nodes", user: "Users", rule: "Rules", control: "Controls", task: "Tasks" };
const ICONS = { session: "sessions", worker: "nodes", user: "users", rule: "rules", control: "controls", task: "tasks" };
let asking = 0, at = 0;
function openPalette() { palette.showModal(); input.select(); find(); }
async function find() {
  const turn = ++asking, text = input.value.trim();
  let items = [];
  if (text) {
    try {
      const answer = await fetch(`/api/v1/search?q=${encodeURIComponent(text)}`);
      if (answer.ok) items = await answer.json();
    } catch { /* nothing is found while the API is away */ }
  } else {
    items = all(".nav-group a").map((it) => ({ kind: "", name: it.textContent.trim(), href: it.href }));
  }
  if (turn !== asking) return;
  found.replaceChildren();
  let kind = null;
  items.forEach((it, index) => {
    if (it.kind !== kind && HEADS[it.kind]) {
      const head = document.createElement("p");
      head.role = "presentation";
      head.textContent = HEADS[it.kind];
      found.append(head);
    }
    kind = it.kind;
    const link = document.createElement("a");
    link.id = `o${index}`;
    link.role = "option";
    const name = it.kind === "rule" ? it.name.slice(0, it.name.lastIndexOf("/")) : it.name;
    link.href = it.href || PLACES[it.kind] + encodeURIComponent(name);
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("width", 16);
    icon.setAttribute("height", 16);
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#i-${ICONS[it.kind] || "right"}`);
    icon.append(use);
    const label = document.createElement("span");
    label.textContent = it.name;
    link.append(icon, label);
    found.append(link);
  });
  if (text && !items.length) {
    const none = document.createElement("p");
    none.textContent = "Nothing begins so.";
    found.append(none);
  }
  choose(0);
}
function choose(index) {
  const options = all("a", found);
  at = Math.max(0, Math.min(index, options.length - 1));
  options.forEach((it, number) => { it.ariaSelected = number === at; });
  input.setAttribute("aria-activedescendant", options[at]?.id || "");
  options[at]?.scrollIntoView({ block: "nearest" });
}
$("#search-open")?.addEventListener("click", openPalette);
input?.addEventListener("input", find);
input?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") choose(at + 1);
  else if (event.key === "ArrowUp") choose(at - 1);
  else if (event.key === "Enter") all("a", found)[at]?.click();
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && palette) {
    event.preventDefault();
    if (!palette.open) openPalette();
  }
});
