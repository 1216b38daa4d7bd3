/* Menus are <details data-menu>: they work without this. Here they also close by Escape and by a
   click elsewhere. Messages with a [data-dismiss] button go away when it is pressed. */
const openMenus = () => document.querySelectorAll("details[data-menu][open]");

document.addEventListener("click", (event) => {
  const target = event.target;
  if (!(target instanceof Element)) return;
  for (const menu of openMenus()) {
    if (!menu.contains(target)) menu.open = false;
  }
  const message = target.closest("[data-dismiss]")?.closest("[data-message]");
  if (message) {
    message.remove();
    document.getElementById("content")?.focus({ preventScroll: true });
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    const hadFocus = menu.contains(document.activeElement);
    menu.open = false;
    if (hadFocus) menu.querySelector("summary")?.focus();
  }
});

document.addEventListener("focusout", (event) => {
  const menu = event.target instanceof Element ? event.target.closest("details[data-menu]") : null;
  const next = event.relatedTarget;
  if (menu && next instanceof Node && !menu.contains(next)) menu.open = false;
});
