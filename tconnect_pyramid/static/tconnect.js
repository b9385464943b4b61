// Comfort only: every page works without this file. No library, no other address than this site's own.
"use strict";

// Times are written in UTC, as no header tells where the reader is; here they are those of the reader's clock.
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    time.title = time.textContent;
    time.textContent = format.format(moment);
  }
}

// The tree of pages is folded on a narrow screen.
const tree = document.querySelector(".tree details");
if (tree && window.matchMedia("(max-width: 60rem)").matches) {
  tree.open = false;
}

// A button that copies what stands beside it: <button data-copy="ID" data-copied="Copied" hidden>.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (navigator.clipboard) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
      button.textContent = button.dataset.copied;
    });
  }
}

// A part of a page that waits for something: it is fetched anew until the page has changed, and then reloaded.
// <div data-await="ADDRESS" data-seconds="3">; the address answers 204 while nothing has happened.
for (const waiting of document.querySelectorAll("[data-await]")) {
  const seconds = Number(waiting.dataset.seconds) || 3;
  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(waiting.dataset.await, { headers: { Accept: "text/html" }, redirect: "manual" });
        if (answer.status === 200) {
          window.location.reload();
          return;
        }
      } catch {
        // The site is away for a moment: ask again.
      }
    }
    window.setTimeout(look, seconds * 1000);
  };
  window.setTimeout(look, seconds * 1000);
}

// Pickers look for what is typed without sending the form.
for (const picker of document.querySelectorAll("fieldset[data-picker]")) {
  const search = picker.querySelector('input[type="search"]');
  const searched = picker.querySelector('input[type="hidden"]');
  const chosen = picker.querySelector(".chosen");
  const found = picker.querySelector(".found");
  const none = picker.querySelector(".none");
  const most = Number(picker.dataset.most);
  let timer = 0;
  let asked = 0;

  const ticked = () => Array.from(chosen.querySelectorAll("input:checked"), (input) => input.value);
  const look = async () => {
    window.clearTimeout(timer);
    const mine = (asked += 1);
    searched.value = search.value;
    if (search.value.trim() === "") {
      found.replaceChildren();
      return;
    }
    const query = new URLSearchParams({ name: picker.dataset.name, search: search.value });
    for (const id of ticked()) {
      query.append("but", id);
    }
    // Whoever is logged out meanwhile is led to the login page, which is no part of this form.
    const answer = await fetch(`${picker.dataset.picker}?${query}`, { redirect: "manual" });
    if (answer.ok && mine === asked) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      found.replaceChildren(...parsed.body.childNodes);
    }
  };

  picker.querySelector('button[name="look"]').addEventListener("click", (event) => {
    event.preventDefault();
    look();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      look();
    }
  });
  search.addEventListener("input", () => {
    // What is typed was looked for already when the form is sent, or the server would take it for a question.
    searched.value = search.value;
    window.clearTimeout(timer);
    timer = window.setTimeout(look, 250);
  });
  found.addEventListener("change", (event) => {
    if (event.target.checked) {
      if (most === 1) {
        for (const other of chosen.querySelectorAll("input:checked")) {
          other.checked = false;
        }
      }
      chosen.append(event.target.closest(".tick"));
      event.target.focus();
      if (none) {
        none.hidden = true;
      }
    }
  });
}
