// What hooks made of libvirt's document.
import { diff, hunks } from "./diff.js";
import { h } from "./dom.js";
import { alert } from "./pf.js";
import { _, format, ngettext } from "./text.js";

const LARGEST = 500000;     // characters of a document that are shown
const NAMES = { "+": _("added"), "-": _("removed") };

function line([sign, text]) {
    return h("span.diff-line", { class: sign === "+" ? "is-added" : sign === "-" ? "is-removed" : "" },
             h("span.diff-sign", { "aria-hidden": "true" }, sign), sign !== " " && h("span.for-readers", null, `${NAMES[sign]}: `), text, "\n");
}

const gap = number => number ? h("span.diff-gap", null, format(ngettext("$0 more line", "$0 more lines", number), number), "\n") : null;

function both(execution) {
    return [
        alert("info", _("The documents differ in too many lines to compare them here.")),
        h("h3.diff-title", null, _("libvirt's document")), h("pre.diff", { tabindex: "0" }, execution.document.slice(0, LARGEST)),
        h("h3.diff-title", null, _("What libvirt got instead")), h("pre.diff", { tabindex: "0" }, execution.document_after.slice(0, LARGEST)),
    ];
}

export function change(execution) {
    const lines = diff(execution.document, execution.document_after);
    if (lines === null)
        return both(execution);
    const { groups, rest } = hunks(lines);
    return h("pre.diff", { tabindex: "0", "aria-label": _("Changes in libvirt's document") },
             groups.map(group => [gap(group.skipped), group.lines.map(line)]), gap(rest));
}
