/* A form that came back with an error says so where the error is, not only at its head. */
const wrong = document.querySelector('main [aria-invalid="true"]') ?? document.querySelector("main .field-wrong");
if (wrong instanceof HTMLElement) {
  const field = wrong.matches("input, select, textarea") ? wrong : wrong.querySelector("input, select, textarea");
  field?.focus({ preventScroll: true });
  wrong.closest(".field")?.scrollIntoView({ block: "center" });
}
