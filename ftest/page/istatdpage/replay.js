// The requests of istatd's page (part 16 of its behaviour specification), and what came of them, shown.

const json = (answer) => answer.json();

/** Ask as jQuery does: JSON under the type of a form. */
function post(address, body) {
  return fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "X-Requested-With": "XMLHttpRequest" },
    body: JSON.stringify(body),
  });
}

/** Put a value on the page as text, whatever is in it. */
function show(name, value) {
  const list = document.getElementById("found");
  const term = document.createElement("dt");
  const told = document.createElement("dd");
  term.textContent = name;
  told.id = name;
  told.textContent = typeof value === "string" ? value : JSON.stringify(value);
  list.append(term, told);
}

/** The tree: all names at once; only leaves can be drawn. */
async function tree() {
  const listing = await fetch("/?q=*").then(json);
  const leaves = listing.matching_names.filter((one) => one.is_leaf && one.name.startsWith("page."));
  show("tree", leaves.map((one) => `${one.name} ${listing.type_mapping[one.type]}`).sort());
  show("branches", listing.matching_names.filter((one) => !one.is_leaf && one.name.startsWith("page")).map((one) => one.name));
  return leaves.map((one) => one.name);
}

/** The graphs: those of all windows in one question, "now" ten seconds ago, as many buckets as a graph is wide. */
async function graphs(names) {
  const stop = Math.floor(Date.now() / 1000) - 10;
  const question = { keys: [...names, "page.gone"], start: stop - 3600, stop, maxSamples: 600 };
  const answer = await post("/*", question).then(json);
  show("gone", answer["page.gone"]);
  show("interval", answer.interval);
  for (const name of names) {
    const drawn = answer[name].data.filter((bucket) => bucket.time !== 0 && bucket.count > 0);
    show(name, drawn.length ? Math.max(...drawn.map((bucket) => bucket.max)) : "nothing");
  }
  const compact = await post("/%2A", { ...question, compact: true }).then(json);
  show("compact", compact[names[0]].data.length === answer[names[0]].data.length);
  const one = await fetch(`/${names[0]}?start=${stop - 900}&end=${stop}&samples=10`).then(json);
  show("zoomed", Object.keys(one).join(" "));
}

/** A user who signs in, and his dashboards. */
async function dashboards(user) {
  const value = JSON.stringify({ size: { width: 600, height: 240 }, graphs: [["page.gauge"]], formats: [3], timeSlider: "3" });
  show("nobody", (await fetch("/?s=users&sk=user.nobody")).status);
  show("signed", await post("/?s=users", { [`user.${user}`]: JSON.stringify({ password: "0".repeat(64) }) }).then(json));
  show("saved", await post(`/?s=${user}`, { "dashboard.mine": value, "dashboard.other": "{}" }).then(json));
  show("user", await fetch(`/?s=users&sk=user.${user}`).then(json));
  show("listed", Object.keys(await fetch(`/?s=${user}&sk=dashboard.*`).then(json)));
  const kept = await fetch(`/?s=${user}&sk=dashboard.mine`).then(json);
  show("loaded", kept["dashboard.mine"] === value);
  show("deleted", await post(`/?s=${user}`, { "dashboard.other": "" }).then(json));
  show("left", Object.keys(await fetch(`/?s=${user}&sk=dashboard.*`).then(json)));
  show("global", (await fetch("/?s=global&sk=dashboard.*")).status);
}

/** The table of agents: a column for each key. */
async function agents() {
  const told = await fetch("/?a=*").then(json);
  const table = document.getElementById("agents");
  for (const agent of told.agents) {
    const row = table.insertRow();
    row.dataset.host = agent.hostname;
    for (const [key, value] of Object.entries(agent)) row.insertCell().textContent = `${key}=${value}`;
  }
  document.title = `${told.count} agents`;
}

try {
  if (document.getElementById("agents")) await agents();
  else {
    await graphs(await tree());
    if (!location.hash.includes("reading")) await dashboards("cit");
  }
  document.body.dataset.ready = "1";
} catch (error) {
  document.body.dataset.ready = String(error);
  throw error;
}
