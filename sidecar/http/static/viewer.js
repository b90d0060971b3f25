"use strict";
/* The viewer: one or two OpenSeadragons that move together, and the server's own text where a picture fails. */

const LARGEST = 4;      // screen pixels for one of the image
const TEXT = 500;       // characters of a problem text
const PROBLEMS = 5;
const FRAME = "#e0007a"; // around tiles that were handed over
const SMALL = 240;      // pixels of a small picture

/* What the server says of a picture that does not come: its text, or its status if there is no text to read. */
async function explanation(answer) {
  const isText = (answer.headers.get("Content-Type") || "").startsWith("text/plain");
  const text = isText ? (await answer.text()).trim() : "";
  return text.slice(0, TEXT) || `${answer.status} ${answer.statusText}`;
}

/* Fetches; throws what the server says if it has no such thing. */
async function asked(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(await explanation(answer));
  return answer;
}

async function why(url) {
  try {
    await asked(url);
    return "the picture came the second time";
  } catch (problem) {
    return problem.message;
  }
}

const infos = new Map();

function infoOf(base) {
  if (!infos.has(base)) infos.set(base, asked(`${base}/info.json`).then(answer => answer.json()));
  return infos.get(base);
}

/* Puts a small picture into its link, no larger than the image is: sizes beyond that are refused. */
async function picture(link) {
  const { base, region = "full", part = "1", rest = "0/default.jpg" } = link.dataset;
  const told = document.createElement("span");
  told.className = "text";
  try {
    const info = await infoOf(base);
    const most = region === "square" ? Math.min(info.width, info.height) : Math.max(info.width, info.height);
    const side = Math.max(1, Math.min(SMALL, Math.floor(most * part)));
    const image = new Image();
    image.alt = "";
    image.src = `${base}/${region}/!${side},${side}/${rest}`;
    if (link.dataset.rest) link.href = image.src;
    image.addEventListener("error", async () => {
      image.remove();
      told.textContent = await why(image.src);
      link.after(told);
    });
    link.prepend(image);
  } catch (problem) {
    told.textContent = problem.message;
    link.after(told);
  }
}

/* Pictures are asked for when they are about to be seen. */
function pictures() {
  const seen = new IntersectionObserver(entries => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) {
      seen.unobserve(target);
      picture(target);
    }
  }, { rootMargin: "100px" });
  document.querySelectorAll(".picture").forEach(link => seen.observe(link));
}

const problems = document.getElementById("problems");
const known = new Set();

function tell(by, text) {
  const line = `${by}: ${text}`;
  if (known.has(line) || known.size >= PROBLEMS) return;
  known.add(line);
  problems.appendChild(document.createElement("p")).textContent = line;
}

/* An image that is smaller than its pane is shown pixel for pixel, not blown up. */
function fit(viewer) {
  const { viewport, world } = viewer, image = world.getItemAt(0);
  const natural = image.imageToViewportZoom(1 / devicePixelRatio);
  if (natural < viewport.getHomeZoom()) viewport.defaultZoomLevel = natural;
  viewport.goHome(true);
}

/* Says which tiles the sidecar has handed over, and frames them: it marks the responses to requests that ask for it. */
class Handovers {
  constructor(viewer, said) {
    this.viewer = viewer;
    this.said = said;
    this.tiles = new Set();
    this.reasons = new Set();
    this.count = 0;
    viewer.addHandler("tile-loaded", ({ tile, tileRequest }) => this.note(tile, tileRequest));
    viewer.addHandler("tile-drawn", ({ tile }) => this.tiles.has(tile.cacheKey) && this.frame(tile));
  }

  note(tile, request) {
    const [, reason] = (request?.getResponseHeader("X-Sidecar") || "").match(/^handover; reason=(.+)$/) || [];
    this.count++;
    if (reason) {
      this.tiles.add(tile.cacheKey);
      this.reasons.add(reason);
    }
    if (this.tiles.size)
      this.said.textContent = `Handed over to Cantaloupe: ${this.tiles.size} of ${this.count} tiles (${[...this.reasons].join(", ")}).`;
  }

  frame({ position, size }) {
    const { context } = this.viewer.drawer, ratio = OpenSeadragon.pixelDensityRatio;
    context.save();
    context.strokeStyle = FRAME;
    context.lineWidth = 3 * ratio;
    context.setLineDash([12 * ratio, 6 * ratio]);
    context.strokeRect(position.x * ratio, position.y * ratio, size.x * ratio, size.y * ratio);
    context.restore();
  }
}

async function show(pane) {
  const { by, base } = pane.dataset, [facts, handed] = [".facts", ".handed"].map(each => pane.parentElement.querySelector(each));
  let info;
  try {
    info = await infoOf(base);
  } catch (problem) {
    tell(by, problem.message);
    return null;
  }
  facts.textContent = `${info.width} × ${info.height} pixels.`;
  // Its id is the image's public address; here it is asked at this one.
  const id = location.origin + base;
  const tileSources = [info["@id"] ? { ...info, "@id": id } : { ...info, id }];
  const viewer = OpenSeadragon({
    element: pane, tileSources, drawer: "canvas", showNavigationControl: false, maxZoomPixelRatio: LARGEST,
    visibilityRatio: 0.5, animationTime: 0.6, gestureSettingsTouch: { pinchRotate: true },
    ...(handed && { loadTilesWithAjax: true, ajaxHeaders: { "X-Explain": "1" } }),
  });
  if (handed) new Handovers(viewer, handed);
  viewer.canvas.setAttribute("role", "application");
  viewer.canvas.setAttribute("aria-label", `${document.title.split(" · ")[0]}, by ${by}`);
  viewer.addHandler("tile-load-failed", async event => tell(by, await why(event.tile.getUrl())));
  viewer.addHandler("open-failed", event => tell(by, event.message));
  await new Promise(done => { viewer.addOnceHandler("open", done); viewer.addOnceHandler("open-failed", done); });
  if (viewer.world.getItemCount()) {
    const image = viewer.world.getItemAt(0);
    image.addHandler("fully-loaded-change", event => pane.setAttribute("aria-busy", !event.fullyLoaded));
    pane.setAttribute("aria-busy", !image.getFullyLoaded());
    fit(viewer);
  }
  return viewer;
}

/* The pictures move together: those that nobody touches follow the one that was touched last. */
class Together {
  constructor(viewers) {
    this.viewers = viewers;
    this.leader = viewers[0];
    const touched = ["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-key", "canvas-double-click"];
    for (const viewer of viewers) {
      for (const event of touched) viewer.addHandler(event, () => { this.leader = viewer; });
      for (const event of ["zoom", "pan", "rotate", "animation", "animation-finish"])
        viewer.addHandler(event, () => { if (viewer === this.leader) this.follow(); });
    }
  }

  follow() {
    const to = this.leader.viewport;
    for (const viewer of this.viewers) if (viewer !== this.leader) {
      viewer.viewport.setRotation(to.getRotation(true), true);
      viewer.viewport.zoomTo(to.getZoom(true), null, true);
      viewer.viewport.panTo(to.getCenter(true), true);
    }
  }

  zoom(by) {
    this.leader.viewport.zoomBy(by);
    this.leader.viewport.applyConstraints();
  }
}

function buttons(stage, all) {
  const commands = {
    in: () => all.zoom(2),
    out: () => all.zoom(0.5),
    whole: () => all.leader.viewport.goHome(),
    turn: () => all.leader.viewport.setRotation(all.leader.viewport.getRotation() + 90),
    full: () => document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen(),
  };
  for (const button of stage.querySelectorAll("button[data-do]"))
    button.addEventListener("click", () => commands[button.dataset.do]());
}

/* OpenSeadragon adds a style to the page, which takes the outline of the focus away on touch screens, unless it finds
   one there. This is one by name only: the page's policy lets no style in that is no file. */
function withoutStyles() {
  const style = document.createElementNS("", "style");
  style.setAttribute("data-openseadragon-mobile-css", "");
  document.head.append(style);
}

async function start() {
  pictures();
  const stage = document.getElementById("stage");
  if (!stage) return;
  withoutStyles();
  const viewers = (await Promise.all([...stage.querySelectorAll(".pane")].map(show))).filter(Boolean);
  if (!viewers.length) return;
  buttons(stage, new Together(viewers));
  stage.dataset.ready = viewers.length;
}

start();
