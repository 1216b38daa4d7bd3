/* <figure data-viewer>: fades the map, changes its label, zooms and moves the picture. Sizes and opacity
   are set through the CSSOM, which a strict Content-Security-Policy allows. */
const MOST = 8;
const STEP = 1.4;

class Viewer {
  constructor(figure) {
    this.stage = figure.querySelector("[data-viewer-stage]");
    this.pane = figure.querySelector("[data-viewer-pane]");
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.pointers = new Map();
    this.fade(figure);
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

  buttons(figure) {
    for (const button of figure.querySelectorAll("[data-viewer-zoom]")) {
      button.addEventListener("click", () => {
        const way = button.dataset.viewerZoom;
        if (way === "fit") this.fit();
        else this.zoom(way === "in" ? STEP : 1 / STEP);
      });
    }
  }

  keys() {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    this.stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "+" || event.key === "=") this.zoom(STEP);
      else if (event.key === "-") this.zoom(1 / STEP);
      else if (event.key === "0") this.fit();
      else if (moves[event.key] && this.scale > 1) {
        const [right, down] = moves[event.key];
        this.move(right * 40, down * 40);
      } else return;
      event.preventDefault();
    });
    this.stage.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // A plain wheel scrolls the page.
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
      },
      { passive: false },
    );
  }

  drag() {
    this.stage.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, event);
      if (this.scale > 1 || this.pointers.size > 1) this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const other = [...this.pointers.values()].find((p) => p.pointerId !== event.pointerId);
      this.pointers.set(event.pointerId, event);
      if (other) {
        const distance = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
        this.zoom(distance(event) / Math.max(1, distance(before)), event);
      } else if (this.scale > 1) {
        this.move(event.clientX - before.clientX, event.clientY - before.clientY);
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
    this.stage.toggleAttribute("data-zoomed", this.scale > 1);
  }
}

for (const figure of document.querySelectorAll("figure[data-viewer]")) new Viewer(figure);
