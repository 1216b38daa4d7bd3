// Names for what the stock admin panel leaves without one, so that a screen reader can say it.

function name(element, words) {
  const text = words?.textContent.trim();
  if (text && !element.labels?.length && !element.getAttribute("aria-label")) {
    element.setAttribute("aria-label", text);
  }
}

function nameAll() {
  // In a table of forms the heading of the column is the only name there is.
  for (const row of document.querySelectorAll(".tabular tr.form-row")) {
    const heads = row.closest("table").tHead.rows[0].cells;
    for (const cell of row.cells) {
      for (const field of cell.querySelectorAll("input:not([type=hidden]), select, textarea")) {
        name(field, heads[cell.cellIndex]);
      }
    }
  }
  // A search field that takes the place of a select does not take over its label.
  for (const box of document.querySelectorAll(".select2-container")) {
    const select = box.previousElementSibling;
    const label = select?.labels?.[0];
    for (const part of box.querySelectorAll("[role=combobox], [role=textbox]")) {
      name(part, label);
    }
  }
  // An icon that is a picture of its words.
  for (const icon of document.querySelectorAll("span.help-tooltip[aria-label]")) {
    icon.setAttribute("role", "img");
  }
  // What scrolls must be reached by the keyboard.
  for (const part of document.querySelectorAll(".inline-group .tabular, .inline-group")) {
    if (part.scrollWidth > part.clientWidth) {
      part.tabIndex = 0;
    }
  }
}

window.addEventListener("load", nameAll);
window.addEventListener("resize", nameAll);
// Search fields and rows of a table come later, and in no certain order.
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
