/* A question that the page asks by itself may meet a server that is away for a moment: the
   [data-unanswered] notice says so until a question is answered again, and a [data-poll] element
   asks once more, after as many seconds as the server named. */
const AGAIN_SECONDS = 5;
const notice = document.querySelector("[data-unanswered]");

const failed = (event) => {
  const { elt, xhr } = event.detail;
  if (xhr && xhr.status > 0 && xhr.status < 500) return;
  if (notice) notice.hidden = false;
  if (!elt.matches("[data-poll]")) return;
  const seconds = Number(xhr?.getResponseHeader("Retry-After")) || AGAIN_SECONDS;
  setTimeout(() => window.htmx.trigger(elt, "again"), seconds * 1000);
};

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, failed);
}
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (notice && event.detail.xhr.status < 400) notice.hidden = true;
});
