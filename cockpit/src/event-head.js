// The head of an event in the list of hooks: when it fires, what a failure means, and what a hook finds in its environment.
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { newId } from "./pf.js";
import { _, format } from "./text.js";
import { classWords } from "./words.js";

// libvirt's calls of an event, each operation once: "prepare", "network start".
export function callsOf(event) {
    const GUESTS = ["qemu", "lxc", "libxl", "bhyve"];
    return [...new Set(event.calls.flatMap(call => call.drivers.some(driver => GUESTS.includes(driver))
        ? [call.operation]
        : call.drivers.map(driver => `${driver} ${call.operation}`)))];
}

function short(event) {
    const words = [format(_("at $0"), callsOf(event).join(", "))];
    if (event.per_device)
        words.push(_("for each device"));
    if (event.condition)
        words.push(event.condition);
    return words.join(" · ");
}

function more(event) {
    const classes = [...new Set(event.calls.map(call => call.class))];
    return h("div.event-more", { hidden: true },
             event.never_here && h("p", null, event.never_here),
             classes.map(name => h("p", null, classWords(name), ".")),
             event.calls.some(call => call.filter) && h("p", null, _("A hook may change libvirt's document."), ""),
             event.variables && event.variables.length
                 ? [h("h3.event-variables", null, _("What a hook finds in its environment")),
                    h("dl.variables", null, event.variables.map(variable => h("div", null, h("dt", null, h("code", null, variable.name)), h("dd", null, variable.what))))]
                 : null);
}

// `event`: what is known of it; null for places that are no event.
export function eventHead(name, event) {
    if (!event)
        return h("h2.event-name", null, name);
    const details = more(event);
    details.id = newId("event");
    const toggle = h("button.event-toggle", {
        type: "button", "aria-expanded": "false", "aria-controls": details.id, "data-test": "event-toggle",
        onclick: () => {
            details.hidden = !details.hidden;
            toggle.setAttribute("aria-expanded", String(!details.hidden));
        },
    }, icon("right", "event-sign"), name);
    return [h("h2.event-name", null, toggle, h("span.event-short", { class: event.never_here ? "is-never" : null }, event.never_here ? _("never fires here") : short(event))), details];
}
