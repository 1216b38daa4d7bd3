/* <form data-confirm="Sentence." data-confirm-title="…" data-confirm-yes="Verb" data-confirm-danger>
   asks before it is sent. A submit button may carry the same attributes for itself alone.
   <button data-open-dialog="id"> opens the <dialog id>, [data-close-dialog] closes the one it is in. */
const dialog = document.getElementById("confirm-dialog");
const confirmed = new WeakSet();

const ask = (asker) =>
  new Promise((resolve) => {
    const title = dialog.querySelector("[data-confirm-title]");
    const yes = dialog.querySelector("[data-confirm-yes]");
    title.textContent = asker.dataset.confirmTitle || title.dataset.default;
    dialog.querySelector("[data-confirm-text]").textContent = asker.dataset.confirm;
    yes.textContent = asker.dataset.confirmYes || yes.dataset.default;
    yes.classList.toggle("button-danger-solid", "confirmDanger" in asker.dataset);
    yes.classList.toggle("button-primary", !("confirmDanger" in asker.dataset));
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });

// In the capture phase, before htmx or any other listener sends the form.
document.addEventListener(
  "submit",
  async (event) => {
    const form = event.target;
    const asker = event.submitter?.dataset.confirm ? event.submitter : form;
    if (!dialog || !asker.dataset.confirm) return;
    if (confirmed.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const submitter = event.submitter;
    if (await ask(asker)) {
      confirmed.add(form);
      form.requestSubmit(submitter);
    } else {
      submitter?.focus();
    }
  },
  { capture: true },
);

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const opener = event.target.closest("[data-open-dialog]");
  if (opener) {
    document.getElementById(opener.dataset.openDialog)?.showModal();
    return;
  }
  event.target.closest("[data-close-dialog]")?.closest("dialog")?.close();
});
