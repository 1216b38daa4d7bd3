// The map over the picture: how strong it is, and which label it belongs to.
for (const viewer of document.querySelectorAll("[data-viewer]")) {
  const map = viewer.querySelector("[data-viewer-map]");
  const strength = viewer.querySelector("[data-viewer-strength]");
  const label = viewer.querySelector("[data-viewer-label]");
  if (!map || !strength) continue;
  const fade = () => {
    map.style.opacity = String(Number(strength.value) / 100);
  };
  strength.addEventListener("input", fade);
  label?.addEventListener("change", () => {
    map.src = label.selectedOptions[0].dataset.src;
  });
  fade();
}
