/* Runs before the first paint, so that nobody sees the wrong colours flash by.
   "system" (the default) leaves the choice to the browser; "light" and "dark" are remembered. */
(() => {
  const KEY = "skinapp-theme";
  const root = document.documentElement;
  root.dataset.js = "";

  const stored = () => {
    try {
      const choice = localStorage.getItem(KEY);
      return choice === "light" || choice === "dark" ? choice : "system";
    } catch {
      return "system"; // Storage is blocked: the choice lasts for this page.
    }
  };
  const store = (choice) => {
    try {
      if (choice === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      /* See above. */
    }
  };
  const paint = (choice) => {
    if (choice === "system") delete root.dataset.theme;
    else root.dataset.theme = choice;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  };

  paint(stored());
  document.addEventListener("DOMContentLoaded", () => paint(stored()));
  addEventListener("storage", (event) => {
    if (event.key === KEY) paint(stored());
  });
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    store(button.dataset.themeChoice);
    paint(button.dataset.themeChoice);
  });
})();
