// The search of the index page: names at once, messages by the scripts of the folder `search`.
const most = 500;
const query = document.getElementById("query");
const state = document.getElementById("state");
const found = document.getElementById("found");
const talks = document.getElementById("talks");
let wanted = "", hits = 0, run = 0;

// Called by each script of the folder `search`.
function look(messages) {
  for (const [place, who, time, text] of messages) {
    if (hits >= most) return;
    if (!text.toLowerCase().includes(wanted)) continue;
    hits += 1;
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = place;
    link.textContent = who + " · " + time;
    const body = document.createElement("p");
    body.dir = "auto";
    const at = Math.max(0, text.toLowerCase().indexOf(wanted) - 60);
    body.textContent = (at > 0 ? "…" : "") + text.slice(at, at + 240);
    item.append(link, body);
    found.append(item);
  }
}

function load(number, mine) {
  if (mine !== run) return;
  if (number > chunks || hits >= most) {
    state.textContent = hits >= most ? "The first " + most + " messages" : hits + " messages";
    return;
  }
  state.textContent = "Searching … " + hits + " messages so far";
  const script = document.createElement("script");
  script.src = "search/" + number + ".js";
  const next = () => { script.remove(); load(number + 1, mine); };
  script.onload = next;
  script.onerror = next;
  document.body.append(script);
}

query.addEventListener("input", () => {
  const name = query.value.trim().toLowerCase();
  for (const item of talks.children) item.hidden = !item.textContent.toLowerCase().includes(name);
  if (name === "") { run += 1; found.textContent = ""; state.textContent = ""; }
});
query.addEventListener("keydown", (event) => {
  wanted = query.value.trim().toLowerCase();
  if (event.key !== "Enter" || wanted === "") return;
  hits = 0;
  run += 1;
  found.textContent = "";
  load(1, run);
});
