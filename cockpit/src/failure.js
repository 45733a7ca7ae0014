// What is shown where a command of hookmux has failed: its own words, and a button to try again.
import { h, prose, replace } from "./dom.js";
import { alert, button, emptyState } from "./pf.js";
import { command } from "./command.js";
import { _ } from "./text.js";

// Whether nothing of the page can be shown: then a view shows only that.
export const blocks = error => ["access-denied", "authentication-failed", "not-found"].includes(error.problem);

export function failure(error, again) {
    const retry = again && button(_("Try again"), "link inline", again, { "data-test": "failure-retry" });
    if (blocks(error) && error.problem !== "not-found")
        return emptyState("lock", _("Administrative access is needed"), {
            test: "limited-access",
            body: h("p", null, _("Records of hooks are only for administrators. Switch to administrative access at the top of this window, by the button “Limited access”.")),
            actions: retry,
        });
    if (error.problem === "not-found")
        return emptyState("hook", _("hookmux isn't installed"), {
            test: "not-installed",
            body: h("p", null, _("This page shows what libvirt's hooks do. For that it needs the package hookmux on this host.")),
            actions: retry,
        });
    return alert("danger", h("span", { "data-test": "failure-message" }, prose(error.message)), {
        test: "failure",
        role: "alert",
        body: error.fixCommand || error.fix ? [h("p", null, _("What can be done:")), error.fixCommand ? command(error.fixCommand) : h("p", null, prose(error.fix))] : null,
        actions: retry,
    });
}

// Puts a failure into a part of a view, or in place of all of it.
export function fail(slot, part, error, again, page) {
    if (blocks(error))
        replace(slot, failure(error, page.again));
    else
        replace(part, failure(error, again));
}
