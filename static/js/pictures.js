/* The addresses of pictures run out some minutes after their page was made. Where one is asked for
   later (a list scrolled on after lunch), the [data-pictures-gone] notice says what to do. */
const notice = document.querySelector("[data-pictures-gone]");

document.addEventListener(
  "error",
  (event) => {
    const target = event.target;
    if (notice && target instanceof HTMLImageElement && target.src.includes("?key=")) {
      notice.hidden = false;
    }
  },
  true,
);
