// The key that a server requires: the user enters it once; the server keeps it as this page's session.

import { texts } from "./texts.js";
import { field, h, openDialog, problem } from "./ui.js";

/** Ask for a key until `signIn(key)` accepts one; resolves with whether it did, false if the person declines. */
export async function askForKey(signIn) {
  const accepted = await openDialog(texts.key.title, (close) => {
    const input = h("input", { type: "password", required: true, autocomplete: "current-password", autofocus: true });
    const failure = h("div");
    const submit = async (event) => {
      event.preventDefault();
      try {
        await signIn(input.value.trim());
        close(true);
      } catch (error) {
        failure.replaceChildren(problem(error));
        input.select();
      }
    };
    return h("form", { onsubmit: submit },
      h("p", { class: "soft" }, texts.key.why), field(texts.key.label, input), failure,
      h("div", { class: "row end" }, h("button", { class: "primary" }, texts.key.send)));
  });
  return accepted === true;
}
