/* A question that the page asks by itself may meet a server that is away for a moment: the
   [data-unanswered] notice says so until a question is answered again, and a [data-poll] element
   asks once more, after as many seconds as the server named, and each time twice as long. A mistake
   of the server's own (500) would be the same a moment later: it is not asked again. */
const AGAIN_SECONDS = 5;
const MOST_SECONDS = 60;
const AWAY = [0, 502, 503, 504];
let tries = 0;
const notice = document.querySelector("[data-unanswered]");

const failed = (event) => {
  const { elt, xhr } = event.detail;
  if (!AWAY.includes(xhr?.status ?? 0)) return;
  if (notice) notice.hidden = false;
  if (!elt.matches("[data-poll]")) return;
  const named = Number(xhr?.getResponseHeader("Retry-After")) || AGAIN_SECONDS;
  const seconds = Math.min(named * 2 ** tries, MOST_SECONDS);
  tries += 1;
  setTimeout(() => window.htmx.trigger(elt, "again"), seconds * 1000);
};

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, failed);
}
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status >= 400) return;
  tries = 0;
  if (notice) notice.hidden = true;
});
