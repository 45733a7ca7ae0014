// What a hook printed, folded where it is long.
import { h, replace } from "./dom.js";
import { fold } from "./fold.js";
import { button } from "./pf.js";
import { _, format, ngettext } from "./text.js";

export function output(name, text) {
    if (!text)
        return null;
    const folded = fold(text);
    const element = h("pre.output-text", { tabindex: "0", "aria-label": name });
    const more = h("div");
    const short = () => {
        replace(element, folded.head.join("\n"), folded.hidden
            ? [h("span.output-gap", null, format(ngettext("… $0 line …", "… $0 lines …", folded.hidden), folded.hidden)), folded.tail.join("\n")]
            : null);
        if (!folded.whole)
            replace(more, button(_("Show all"), "link inline small", () => { all(); more.querySelector("button").focus() }, { "data-test": "output-more", "aria-expanded": "false" }));
    };
    const all = () => {
        replace(element, text.replace(/\n$/, ""));
        replace(more, button(_("Show less"), "link inline small", () => { short(); more.querySelector("button").focus() }, { "data-test": "output-more", "aria-expanded": "true" }));
    };
    short();
    return h("div.output", { "data-test": "output", "data-stream": name, class: name === "stderr" ? "is-stderr" : "" },
             h("div.output-name", { "aria-hidden": "true" }, name), h("div.output-body", null, element, more));
}
