/* <figure data-viewer>: fades the map, changes its label, zooms and moves the picture. Two of them in a
   [data-viewer-pair] do so together until its [data-viewer-lock] button lets go. While a figure's
   [data-viewer-align] button is pressed, only what lies over the picture moves. Sizes and opacity are
   set through the CSSOM, which a strict Content-Security-Policy allows. */
const MOST = 8;
const STEP = 1.4;

/* A picture that is laid over another: it is moved, turned and sized in small steps until it fits. */
class Over {
  reach = 4;
  wheel = 1.02;
  loose = true;

  constructor(picture, under) {
    this.picture = picture;
    this.under = under;
    this.fit();
  }

  step(way) {
    if (way === "fit") this.fit();
    else this.zoom(way === "in" ? 1.03 : 1 / 1.03);
  }

  zoom(factor) {
    this.scale = Math.min(3, Math.max(1 / 3, this.scale * factor));
    this.paint();
  }

  turn(degrees) {
    this.angle += degrees;
    this.paint();
  }

  move(dx, dy) {
    // It lies inside of what the viewer enlarges.
    this.x += dx / this.under.scale;
    this.y += dy / this.under.scale;
    this.paint();
  }

  fit() {
    this.x = 0;
    this.y = 0;
    this.angle = 0;
    this.scale = 1;
    this.paint();
  }

  paint() {
    this.picture.style.transform =
      `translate(${this.x}px, ${this.y}px) rotate(${this.angle}deg) scale(${this.scale})`;
  }
}

class Viewer {
  reach = 40;
  wheel = 1.15;

  constructor(figure) {
    this.stage = figure.querySelector("[data-viewer-stage]");
    this.pane = figure.querySelector("[data-viewer-pane]");
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.pointers = new Map();
    this.hand = this;
    this.fade(figure);
    this.align(figure);
    this.buttons(figure);
    this.keys();
    this.drag();
  }

  fade(figure) {
    const map = figure.querySelector("[data-viewer-map]");
    const slider = figure.querySelector("[data-viewer-strength]");
    if (!map || !slider) return;
    const output = figure.querySelector("[data-viewer-output]");
    const toggle = figure.querySelector("[data-viewer-toggle]");
    const label = figure.querySelector("[data-viewer-label]");
    const show = () => {
      if (toggle) toggle.checked = true;
    };
    const paint = () => {
      map.style.opacity = String(slider.value / 100);
      const words = `${slider.value} %`;
      if (output) output.textContent = words;
      slider.setAttribute("aria-valuetext", words);
    };
    slider.addEventListener("input", () => {
      show();
      paint();
    });
    const choose = () => {
      const src = label.selectedOptions[0].dataset.src;
      if (map.getAttribute("src") !== src) map.src = src;
      const chosen = figure.querySelector("[data-viewer-chosen]");
      if (chosen) chosen.textContent = label.selectedOptions[0].textContent;
    };
    label?.addEventListener("change", () => {
      show();
      choose();
    });
    // A reloaded page keeps what was chosen in its controls: the map follows them.
    if (label) choose();
    paint();
  }

  align(figure) {
    const button = figure.querySelector("[data-viewer-align]");
    if (!button) return;
    const over = new Over(figure.querySelector("[data-viewer-map]"), this);
    const turns = figure.querySelectorAll("[data-viewer-turn]");
    button.addEventListener("click", () => {
      this.hand = this.hand === this ? over : this;
      button.setAttribute("aria-pressed", String(this.hand === over));
      for (const turn of turns) turn.hidden = this.hand !== over;
      this.paint();
    });
    for (const turn of turns) {
      turn.addEventListener("click", () => over.turn(Number(turn.dataset.viewerTurn)));
    }
  }

  get loose() {
    return this.scale > 1;
  }

  buttons(figure) {
    for (const button of figure.querySelectorAll("[data-viewer-zoom]")) {
      button.addEventListener("click", () => this.hand.step(button.dataset.viewerZoom));
    }
  }

  step(way) {
    if (way === "fit") this.fit();
    else this.zoom(way === "in" ? STEP : 1 / STEP);
  }

  keys() {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    this.stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { hand } = this;
      if (event.key === "+" || event.key === "=") hand.step("in");
      else if (event.key === "-") hand.step("out");
      else if (event.key === "0") hand.step("fit");
      else if (moves[event.key] && hand.loose) {
        // The picture's window moves where the arrow points; a picture laid over goes there itself.
        const far = hand === this ? hand.reach : -hand.reach;
        const [right, down] = moves[event.key];
        hand.move(right * far, down * far);
      } else return;
      event.preventDefault();
    });
    this.stage.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // A plain wheel scrolls the page.
        event.preventDefault();
        const { hand } = this;
        hand.zoom(event.deltaY < 0 ? hand.wheel : 1 / hand.wheel, event);
      },
      { passive: false },
    );
  }

  drag() {
    this.stage.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, event);
      if (this.hand.loose || this.pointers.size > 1) this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const other = [...this.pointers.values()].find((p) => p.pointerId !== event.pointerId);
      this.pointers.set(event.pointerId, event);
      if (other) {
        const distance = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
        this.hand.zoom(distance(event) / Math.max(1, distance(before)), event);
      } else if (this.hand.loose) {
        this.hand.move(event.clientX - before.clientX, event.clientY - before.clientY);
      }
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.stage.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    this.stage.addEventListener("dblclick", (event) => {
      if (this.scale > 1) this.fit();
      else this.zoom(2.5, event);
    });
    this.pane.addEventListener("dragstart", (event) => event.preventDefault());
  }

  zoom(factor, at = null) {
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    if (at) {
      // What lies under the pointer stays under it.
      const box = this.stage.getBoundingClientRect();
      const dx = at.clientX - box.left - box.width / 2;
      const dy = at.clientY - box.top - box.height / 2;
      this.x = dx - ((dx - this.x) * scale) / this.scale;
      this.y = dy - ((dy - this.y) * scale) / this.scale;
    } else {
      this.x *= scale / this.scale;
      this.y *= scale / this.scale;
    }
    this.scale = scale;
    this.paint();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.paint();
  }

  fit() {
    this.scale = 1;
    this.paint();
  }

  paint() {
    // The picture never leaves its stage altogether.
    const farX = (this.pane.offsetWidth * (this.scale - 1)) / 2;
    const farY = (this.pane.offsetHeight * (this.scale - 1)) / 2;
    this.x = Math.min(farX, Math.max(-farX, this.x));
    this.y = Math.min(farY, Math.max(-farY, this.y));
    this.pane.style.transform =
      this.scale === 1 ? "" : `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stage.toggleAttribute("data-zoomed", this.hand.loose);
    this.follow?.(this);
  }

  /* Shows the part that another viewer shows, whatever the size of either. */
  like(other) {
    const { follow } = this;
    this.follow = null;
    this.scale = other.scale;
    this.x = (other.x / Math.max(1, other.pane.offsetWidth)) * this.pane.offsetWidth;
    this.y = (other.y / Math.max(1, other.pane.offsetHeight)) * this.pane.offsetHeight;
    this.paint();
    this.follow = follow;
  }
}

const together = (pair, [one, other]) => {
  const lock = pair.querySelector("[data-viewer-lock]");
  const locked = () => lock.getAttribute("aria-pressed") === "true";
  let last = one;
  const follow = (moved) => {
    last = moved;
    if (locked()) (moved === one ? other : one).like(moved);
  };
  one.follow = follow;
  other.follow = follow;
  lock.addEventListener("click", () => {
    lock.setAttribute("aria-pressed", String(!locked()));
    if (locked()) follow(last);
  });
  for (const viewer of [one, other]) {
    viewer.stage.addEventListener("focus", () => {
      last = viewer;
    });
  }
  for (const button of pair.querySelectorAll("[data-viewer-zoom]")) {
    button.addEventListener("click", () => last.step(button.dataset.viewerZoom));
  }
};

const viewers = new Map();
for (const figure of document.querySelectorAll("figure[data-viewer]")) {
  viewers.set(figure, new Viewer(figure));
}
for (const pair of document.querySelectorAll("[data-viewer-pair]")) {
  const figures = pair.querySelectorAll("figure[data-viewer]");
  together(
    pair,
    [...figures].map((figure) => viewers.get(figure)),
  );
}
