// The rows of a table of executions, each once, in the order of their ids; a row that changes stays where it is, and keeps the focus.
import { append, h, prose } from "./dom.js";
import { go } from "./route.js";
import { callLink, resultLabel, squares, time, took, why } from "./row.js";
import { cell } from "./pf.js";
import { _, format } from "./text.js";
import { causeWords, detachedWords } from "./words.js";
import { oneLine } from "./visible.js";

export class List {
    constructor({ guests = true } = {}) {
        this.guests = guests;
        this.rows = new Map();
        this.body = h("tbody.pf-v6-c-table__tbody", { onclick: event => this.clicked(event) });
        // Those that run are drawn each second.
        this.timer = setInterval(() => this.tick(), 1000);
    }

    close() {
        clearInterval(this.timer);
    }

    clicked(event) {
        const row = event.target.closest("tr");
        if (row && !event.target.closest("a, button") && !String(window.getSelection()))
            go(["call", row.dataset.id]);
    }

    tick() {
        for (const row of this.rows.values())
            if (row.execution.state === "running")
                row.took.textContent = took(row.execution);
    }

    // Puts these in. `fresh`: they appear while somebody looks.
    put(executions, fresh = false) {
        for (const execution of executions) {
            const row = this.rows.get(execution.id);
            if (row) {
                this.draw(row, execution);
            } else {
                const made = { element: h("tr.pf-v6-c-table__tr.call-row", { "data-test": "row", "data-id": execution.id }), took: null, execution };
                if (fresh)
                    made.element.classList.add("is-new");
                this.draw(made, execution);
                this.rows.set(execution.id, made);
                this.place(made.element, execution.id);
            }
        }
    }

    // Takes out all that aren't in `kept`.
    keep(kept) {
        for (const [id, row] of this.rows)
            if (!kept.has(id)) {
                row.element.remove();
                this.rows.delete(id);
            }
    }

    place(element, id) {
        const last = this.body.lastElementChild;
        if (!last || last.dataset.id > id) {
            this.body.append(element);
            return;
        }
        let next = this.body.firstElementChild;
        while (next && next.dataset.id > id)
            next = next.nextElementSibling;
        this.body.insertBefore(element, next);
    }

    draw(row, execution) {
        const focused = row.element.contains(document.activeElement);
        row.execution = execution;
        row.element.dataset.state = execution.state;
        row.took = h("div", null, took(execution));
        row.element.replaceChildren();
        const reason = why(execution);
        append(row.element, [
            cellOf("time", _("Time"), time(execution.began)),
            this.guests && cellOf("guest", _("Guest"), h("span.guest-name", { title: execution.object.length > 40 ? execution.object : null }, oneLine(execution.object)), execution.remote && h("span.subtle", null, ` ${format(_("on $0"), execution.remote.host)}`)),
            cellOf("call", _("Call"), callLink(execution), execution.cause !== "libvirt" && h("span.call-cause", null, causeWords(execution.cause))),
            cellOf("hooks", _("Hooks"), squares(execution.runs)),
            h("td.pf-v6-c-table__td.of-took", { "data-label": _("Took") }, row.took),
            cellOf("result", _("Result"), resultLabel(execution), detachedWords(execution.detached) && h("span.detached", null, detachedWords(execution.detached)), reason && h("div.why", { title: reason }, prose(reason))),
        ]);
        if (focused)
            row.element.querySelector("a").focus();
    }
}

function cellOf(name, title, ...content) {
    const element = cell(title, content);
    element.classList.add(`of-${name}`);
    return element;
}

export function listTable(list, name) {
    const columns = [["time", _("Time")], list.guests && ["guest", _("Guest")], ["call", _("Call")], ["hooks", _("Hooks")], ["took", _("Took")], ["result", _("Result")]].filter(Boolean);
    return h("table.pf-v6-c-table.pf-m-compact.calls", { "aria-label": name },
             h("thead.pf-v6-c-table__thead", null,
               h("tr.pf-v6-c-table__tr", null, columns.map(([key, title]) => h("th.pf-v6-c-table__th", { scope: "col", class: `of-${key}` }, title)))),
             list.body);
}
