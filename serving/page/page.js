// What the page adds to Gradio's markup in the browser.
(() => {
  // Marks what differs between the variants and the first one. `values` are those of all fields, a variant after another.
  let fields = [], values = [];
  window.markDifferences = (...found) => {
    [fields, values] = found;
    mark();
  };
  const written = (value) => String(value || "").trim();
  const mark = () =>
    values.forEach((value, place) => {
      const variant = Math.floor(place / fields.length) + 1;
      const block = document.getElementById(`variant-${variant}-${fields[place % fields.length]}`);
      if (!block || variant === 1) return;
      const changed = written(value) !== written(values[place % fields.length]);
      block.toggleAttribute("data-changed", changed);
      const input = block.querySelector("input, textarea");
      if (changed) input?.setAttribute("aria-description", "differs from variant 1");
      else input?.removeAttribute("aria-description");
    });

  // Changes of these places are spoken by a screen reader.
  const SPOKEN = ["label", "message", "notice", "found", "thanks", "slate-message", "answer-1", "answer-2", "answer-3"];
  const mend = () => {
    for (const id of SPOKEN) {
      const place = document.getElementById(id);
      if (place && !place.hasAttribute("aria-live")) place.setAttribute("aria-live", "polite");
    }
    // Gradio's message is a button with a button in it: the inner one, which closes the message, is enough.
    for (const head of document.querySelectorAll(".toast-header[role=button]")) {
      head.removeAttribute("role");
      head.removeAttribute("tabindex");
    }
    for (const group of document.querySelectorAll(RADIOS)) {
      group.setAttribute("role", "radiogroup");
      group.setAttribute("aria-label", group.querySelector("[data-testid=block-info]")?.innerText ?? "");
    }
  };
  // Each of Gradio's radios has a name of its own: arrow keys would not go from one to the next. Gradio gives the names
  // again with each choice, so that they are changed at the key itself, as the lists below.
  const RADIOS = "fieldset:has(input[type=radio])";
  const joinRadios = (event) => {
    if (event.key !== "Tab" && !event.key.startsWith("Arrow")) return;
    for (const group of document.querySelectorAll(RADIOS)) {
      const [first, ...others] = group.querySelectorAll("input[type=radio]");
      for (const radio of others) radio.name = first.name;
    }
  };
  document.addEventListener("keydown", joinRadios, true);
  // A list of choices closes when the keyboard leaves its field; the keyboard must not go into the list. The list is
  // changed at the key itself, since a busy browser may not have drawn a frame since the list opened.
  const skipLists = (event) => {
    if (event.key !== "Tab") return;
    for (const list of document.querySelectorAll("ul[role=listbox]")) list.setAttribute("tabindex", "-1");
  };
  document.addEventListener("keydown", skipLists, true);
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mend();
      mark(); // a variant that was added, or facts that were opened
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
