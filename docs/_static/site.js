// Figures of several panels are wider than a page: on a phone they scroll in their place, and a click shows any of them at full size.
const PAGE = 650; // CSS pixels; what is narrower can be read on a phone as it is
const BOOK = 0.7; // size on a phone, of the full size

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll(".cell_output img")) {
    const wrap = () => {
      if (figure.naturalWidth <= PAGE) return;
      const box = document.createElement("div");
      box.className = "wide-figure";
      box.title = "click to enlarge";
      figure.style.setProperty("--full", `${figure.naturalWidth}px`);
      figure.style.setProperty("--book", `${BOOK * figure.naturalWidth}px`);
      figure.replaceWith(box);
      box.append(figure);
      box.addEventListener("click", () => box.classList.toggle("full"));
    };
    figure.complete ? wrap() : figure.addEventListener("load", wrap);
  }
});
