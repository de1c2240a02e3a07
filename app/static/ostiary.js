/* What a page can do besides, where scripts run. Every page works without it. */
"use strict";

/* A button beside everything that is there to be copied. */
const copyButton = (line) => {
  const button = document.createElement("button");
  const say = (word) => { button.textContent = word; };
  button.type = "button";
  button.className = "small";
  button.setAttribute("aria-live", "polite");
  say("Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say("Copied");
    } catch {
      getSelection().selectAllChildren(line);
      say("Selected");
    }
    setTimeout(say, 2000, "Copy");
  });
  return button;
};
for (const line of document.querySelectorAll("code.line")) {
  const box = document.createElement("span");
  box.className = "copy";
  line.replaceWith(box);
  box.append(line, copyButton(line));
}

/* A search box that names a table hides the rows without its words while one types. */
for (const input of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.querySelectorAll(`#${CSS.escape(input.dataset.filters)} tbody tr`)];
  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  input.after(said);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    const shown = rows.filter((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      return !row.hidden;
    });
    said.textContent = `${shown.length} of ${rows.length} shown`;
  });
}
