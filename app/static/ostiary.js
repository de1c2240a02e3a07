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

/* Passkeys: a form that asks for one takes the browser's answer along in its field "credential". */
const bytesOf = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const textOf = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const withBytes = (options) => {
  const ready = { ...options, challenge: bytesOf(options.challenge) };
  if (options.user) ready.user = { ...options.user, id: bytesOf(options.user.id) };
  for (const list of ["allowCredentials", "excludeCredentials"]) {
    if (options[list]) ready[list] = options[list].map((known) => ({ ...known, id: bytesOf(known.id) }));
  }
  return ready;
};
const asText = (credential) => {
  const response = { transports: credential.response.getTransports?.() };
  for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[part]) response[part] = textOf(credential.response[part]);
  }
  return JSON.stringify({ id: credential.id, rawId: textOf(credential.rawId), type: credential.type, response });
};
let asking;
const askForPasskey = async (form, more) => {
  /* A browser asks for one at a time; pressing the button ends what waits behind the name's field. */
  asking?.abort();
  asking = new AbortController();
  const publicKey = withBytes(JSON.parse(form.dataset.options));
  const credential = await navigator.credentials[form.dataset.passkey]({
    publicKey, signal: asking.signal, ...more,
  });
  form.elements.credential.value = asText(credential);
  form.submit();
};
if (window.PublicKeyCredential) {
  for (const instead of document.querySelectorAll("[data-without-passkeys]")) instead.hidden = true;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const problem = form.querySelector("[role=alert]");
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      problem.hidden = true;
      try {
        await askForPasskey(form);
      } catch (error) {
        problem.textContent = error.name === "InvalidStateError"
          ? "You have a passkey there already."
          : "That was not finished. Try again, or choose another way.";
        problem.hidden = false;
      }
    });
    if ("suggest" in form.dataset) {
      PublicKeyCredential.isConditionalMediationAvailable?.()
        .then((can) => (can ? askForPasskey(form, { mediation: "conditional" }) : undefined))
        .catch(() => { /* Nobody asked for it: there is nothing to say when it comes to nothing. */ });
    }
  }
}
