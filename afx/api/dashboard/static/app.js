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
  for (const it of detail.tasks) {
    if (!it.fragment || !$("#main", it.fragment)) continue;
    keepNotices(it.fragment);
    keepLate(it.fragment);
    keepRows(it.fragment);
  }
});
const rowsOf = (it) => all("tbody tr[id], ol > li[id], .fleet > a[id]", it);
function keepRows(fresh) {
  for (const old of all("#main [data-kept]")) {
    const next = fresh.querySelector(`#${CSS.escape(old.id)}`);
    if (!next) continue;
    const rows = rowsOf(old), came = new Map(rowsOf(next).map((it) => [it.id, it]));
    const link = fresh.querySelector(`[data-of~="${CSS.escape(old.id)}"]`);
    const append = old.dataset.kept === "append" && !below(old);
    // The first rows are shown at once where they push nothing away.
    if (!rows.length && (!link || !came.size || !below(old))) continue;
    const last = rows.findLastIndex((it) => came.has(it.id)); // below it: perhaps on the next page
    const full = $("[rel=next]", next) || old.dataset.kept === "log";
    if (!came.size || !rows.length) {
      next.replaceChildren(...[...old.children].map((it) => it.cloneNode(true)));
      $(`#${link?.id}`, next)?.replaceWith(link);
    }
    if (rows.length) {
      const kept = rows.map((row, index) => {
        const found = came.get(row.id);
        came.delete(row.id);
        return found || (full && index > last ? row.cloneNode(true) : left(row));
      });
      $("tbody, ol, .fleet", next).replaceChildren(...kept, ...(append ? came.values() : []));
    }
    if (append || !came.size || !link) continue;
    const count = link.dataset.fresh = `${parseInt(link.dataset.fresh || 0, 10) + came.size}${link.dataset.fresh.endsWith("+") ? "+" : ""}`;
    $("span", link).textContent = `${count} new ${link.dataset.noun}${count === "1" ? "" : "s"}`;
    link.removeAttribute("data-none");
  }
}
function below(block) {
  const { bottom } = block.getBoundingClientRect();
  return all("#main > *, #main .halves > *").some((it) => it !== block && it.getBoundingClientRect().top >= bottom && it.offsetHeight);
}
// --- notices: what came floats, what is over keeps its place ---------------------------------
const dismissed = new Set();
function keepNotices(fresh) {
  const stale = $("#stale"), main = $("#main", fresh);
  $("#stale", main)?.replaceWith(stale.cloneNode(true)); // the stream decides about it
  main.toggleAttribute("data-stale", state === "stale");
  const news = all("[data-notice]", main);
  for (const it of all(".toast[data-told]"))
    if (!news.some((one) => one.id === it.dataset.told)) it.remove();
  for (const it of news) if (!$(`#main #${CSS.escape(it.id)}`)) { tell(it); it.remove(); }
  let place = $(".page-head", main);
  for (const old of place ? all("#main [data-notice]") : []) {
    const now = $(`#${CSS.escape(old.id)}`, main) || old.cloneNode(true);
    if (!main.contains(now)) now.dataset.tone = "idle";
    place.after(now);
    place = now;
  }
}
function tell(notice) {
  const text = notice.textContent, known = $(`.toast[data-told="${CSS.escape(notice.id)}"]`);
  if (known?.dataset.text === text || dismissed.has(text)) return;
  known?.remove();
  const it = document.createElement("div"), close = document.createElement("button");
  it.className = "toast";
  it.role = notice.dataset.tone === "crit" ? "alert" : "status";
  Object.assign(it.dataset, { tone: notice.dataset.tone, told: notice.id, text });
  close.className = "btn";
  close.type = "button";
  Object.assign(close.dataset, { kind: "quiet", size: "sm", dismiss: "" });
  close.textContent = "Dismiss";
  it.append(...[...notice.children].map((one) => one.cloneNode(true)), close);
  $(".toasts").append(it);
}
// A section that comes late, such as a result, waits for a click.
function keepLate(fresh) {
  for (const link of all("[data-late-of]", fresh)) {
    const late = $(`#${CSS.escape(link.dataset.lateOf)}`, fresh);
    if (!late || $(`#main #${CSS.escape(late.id)}`)) continue;
    late.remove();
    link.removeAttribute("data-none");
  }
}
function left(row) {
  const it = row.cloneNode(true);
  if ("left" in it.dataset) return it;
  it.dataset.left = "";
  if (!it.cells) {
    it.dataset.tone = "idle";
    it.ariaLabel = `${it.ariaLabel || it.textContent} (has left)`;
    return it;
  }
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
      // What comes floats; what was there when the page was opened keeps its place.
      if (state === "stale" && stale.hidden) stale.dataset.floats = "";
      stale.hidden = state !== "stale" && (stale.hidden || "floats" in stale.dataset);
      stale.toggleAttribute("data-over", state !== "stale");
      $("b", stale).textContent = state === "stale" ? "Data are not live." : "Data are live again.";
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
  showText({ command: $("[data-form=cli]", dialog).textContent, curl: $("[data-form=curl]", dialog).textContent });
  dialog.showModal();
  checkTyped();
  $("[autofocus], .field input, .field select, .field textarea", dialog)?.focus();
}
function checkTyped() {
  const typed = $("[data-typed]", dialog);
  if (typed) $("[type=submit]", dialog).disabled = typed.value !== typed.dataset.typed;
}
dialog?.addEventListener("input", (event) => {
  checkTyped();
  clearTimeout(asked);
  if (event.target.form) asked = setTimeout(showSame, 200, event.target.form);
});
// The same from a shell, with what is in the form; a secret stays in the page.
let asked = 0;
async function showSame(form) {
  const given = new URLSearchParams([...new FormData(form)].filter(([name]) => !form.elements[name].matches?.("[type=password], [data-secret]")));
  try {
    const answer = await fetch(`${form.getAttribute("action")}/same`, { method: "POST", body: given });
    if (answer.ok && form.isConnected) showText(await answer.json());
  } catch { /* what was shown stays */ }
}
function showText({ command, curl }) {
  $("[data-form=cli]", dialog).textContent = command;
  $("[data-form=curl]", dialog).textContent = curl.replaceAll("ADDRESS", location.origin);
}
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
    dismissed.add(target.closest(".toast").dataset.text);
    target.closest(".toast").remove();
  } else if (target.matches("[data-show]")) {
    for (const it of all("[data-show]", dialog)) it.setAttribute("aria-pressed", it === target);
    for (const it of all("[data-form]")) it.hidden = it.dataset.form !== target.dataset.show;
  } else if (target.matches("[data-copy], .code > button")) {
    const text = $("pre:not([hidden])", target.closest(".code")).textContent;
    navigator.clipboard?.writeText(text.replaceAll("ADDRESS", location.origin));
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
