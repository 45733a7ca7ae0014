// A command to copy.
import { h } from "./dom.js";
import { button } from "./pf.js";
import { quote } from "./quote.js";
import { _ } from "./text.js";
import { announce } from "./announce.js";

function byHand(text) {
    const area = h("textarea.for-readers", { readonly: true, "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
}

async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        byHand(text);       // Cockpit without TLS: browsers offer no clipboard there
    }
}

// `words`: a list of words, or a text for a shell.
export function command(words, test = "command") {
    const text = Array.isArray(words) ? quote(words) : words;
    const done = button(_("Copy"), "link inline small", async event => {
        const element = event.currentTarget;
        await copy(text);
        const inner = element.querySelector(".pf-v6-c-button__text");
        inner.textContent = _("Copied");
        announce(_("Copied"));
        setTimeout(() => { inner.textContent = _("Copy") }, 2000);
        element.focus();
    }, { sign: "copy", "data-test": `${test}-copy`, "aria-label": `${_("Copy")}: ${text}` });
    return h("span.command", { "data-test": test }, h("code", { tabindex: "0" }, text), done);
}
