// Releases: how far they have come, and what can be asked of them.

import { ask, byId, h, laneClass, replace } from "./dom.js";

/** What is asked for, how it is called, and what it means: said before it is done. */
const TURNS = {
  promote: ["Promote", "It goes on to its next step; after the last one everybody gets the new images.", "primary"],
  pause: ["Pause", "It stays where it is until it is resumed.", ""],
  resume: ["Resume", "It goes on from where it is.", ""],
  retry: ["Measure anew", "Measurements stopped it; it goes on if they are good from now on.", ""],
  abort: ["Abort", "Every user goes back to the old versions.", "danger"],
  undo: ["Undo", "The Deployments get the images from before.", "danger"],
};

const shown = { timer: 0 };

export function show(state, part) {
  if (!["releases", "lanes", "about", "server"].includes(part)) return;
  byId("releases-link").hidden = !state.about?.shows_releases;
  draw(state);
  clearInterval(shown.timer);
  if (state.releases.some((release) => release.held_since_unix_s !== null)) shown.timer = setInterval(clocks, 1000);
}

function draw(state) {
  replace(byId("release-list"), state.releases.length > 0 ? state.releases.map((release) => card(state, release))
    : h("section", { class: "card" }, h("p", { class: "empty" }, "There is no release. ",
      h("code", {}, "canaryctl release start --image DEPLOYMENT=IMAGE --cookie gray=1 --steps 10,50"))));
  clocks();
}

function card(state, release) {
  const title = `release-${release.name}`;
  return h("section", { class: `card release ${laneClass(state.names(), release.lane)}`, "aria-labelledby": title },
    h("div", { class: "card-head" },
      h("h2", { id: title }, release.name),
      !state.server.read_only && h("div", { class: "turns" }, release.turns.map((turn) => button(release, turn)))),
    h("p", { class: "place" }, h("b", {}, release.place), release.who && h("span", { class: "dim" }, ` · also ${release.who}`)),
    steps(release),
    release.waits_for && h("p", { class: release.needs_help ? "needs" : "dim" }, release.waits_for,
      release.held_since_unix_s !== null && h("span", { class: "clock", "data-since": release.held_since_unix_s })),
    h("ul", { class: "plain workloads" }, release.workloads.map((workload) =>
      h("li", {}, h("b", {}, workload.deployment), h("span", {}, workload.images.join(", ")),
        workload.pods && h("span", { class: "dim" }, `lane ${workload.pods[0]} of ${workload.pods[1]} available`)))),
    release.history.length > 0 && h("details", {}, h("summary", {}, "What happened"),
      h("ol", { class: "plain history" }, release.history.map(([at, what]) =>
        h("li", {}, h("time", { class: "dim" }, new Date(at * 1000).toLocaleString([], { hour12: false })), ` ${what}`)))));
}

function steps(release) {
  if (release.steps.length === 0) return null;
  const hasAll = ["warming", "warm", "completed"].includes(release.phase);
  const isDone = hasAll || release.phase === "promoting";
  const isOff = ["aborted", "returning", "undoing", "undone"].includes(release.phase);
  return h("ol", { class: "steps" }, release.steps.map((share, at) => {
    const place = isOff ? "" : isDone || at < release.step ? "past" : at === release.step && release.phase === "stepping" ? "now" : "";
    return h("li", { class: place, "aria-current": place === "now" ? "step" : null }, `${share} %`);
  }), h("li", { class: hasAll ? "past" : "" }, "everybody"));
}

function button(release, turn) {
  const [word, meaning, kind] = TURNS[turn];
  return h("button", {
    type: "button", class: kind, "data-key": `${turn}:${release.name}`,
    onclick: async () => {
      if (await confirmed(`${word} ${release.name}?`, meaning, word, kind || "primary")) {
        await ask(`api/releases/${encodeURIComponent(release.name)}/${turn}`, { step: release.step });
      }
    },
  }, word);
}

/** Asks first; whether the answer was yes. */
function confirmed(title, text, word, kind) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = word;
  byId("confirm-yes").className = kind;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

function clocks() {
  for (const clock of document.querySelectorAll(".clock")) {
    const seconds = Math.max(0, Math.floor(Date.now() / 1000) - Number(clock.dataset.since));
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    clock.textContent = ` · ${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  }
}
