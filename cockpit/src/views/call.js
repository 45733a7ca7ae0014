// One call: what came of it, its timeline, what didn't run and why, and what hooks made of the document.
import { bars } from "../bars.js";
import { change } from "../change.js";
import { command } from "../command.js";
import { dialog } from "../dialog.js";
import { append, h, prose, replace } from "../dom.js";
import { failure } from "../failure.js";
import { HookmuxError, json, lines, text } from "../hookmux.js";
import { icon } from "../icons.js";
import { machinesLink } from "../machines.js";
import { elapsed } from "../timeline.js";
import { alert, button, cardWith, facts, label, loading, note } from "../pf.js";
import { retry } from "../retry.js";
import { callHref, resultLabel } from "../row.js";
import * as route from "../route.js";
import { _, format } from "../text.js";
import { clock, duration, exactly, when } from "../time.js";
import { callWords, causeWords, classWords } from "../words.js";
import { oneLine } from "../visible.js";

const cockpit = globalThis.cockpit;
const LARGEST = 500000;     // characters of a document that are shown
const GUESTS = ["qemu", "lxc", "libxl", "bhyve"];

// The report is a page of its own, without scripts: to attach to a ticket.
async function download(execution, event) {
    const element = event.currentTarget;
    element.disabled = true;
    try {
        const page = await text(["show", execution.id, "--html"]);
        const address = URL.createObjectURL(new Blob([page], { type: "text/html;charset=utf-8" }));
        const link = h("a", { href: address, download: `hookmux-${execution.id}.html` });
        document.body.append(link);
        link.click();
        link.remove();
        setTimeout(() => URL.revokeObjectURL(address), 10000);
    } catch (error) {
        dialog({ title: _("The report can't be made"), body: [] }).fail(error);
    }
    element.disabled = false;
}

// What becomes of it: the same cases as `hookmux stop` has.
function whatStops(execution) {
    const cause = execution.cause || "libvirt";
    if (cause === "undo")
        return [_("The undo is ended, and stays owed.")];
    if (cause === "queue")
        return [_("The hook is ended, which counts as a failed try: it may be tried again.")];
    if (cause !== "libvirt")
        return [_("The hook is ended, and no other one is started. Nobody else is told.")];
    if (execution.class === "gate")
        return [_("The hook is ended, no other one is started, and what succeeded is rolled back."), _("libvirt is told of a failure (143): it stops the operation.")];
    return [_("The hook is ended, and no other one is started."), _("libvirt is told of success: it doesn't let anybody refuse this call.")];
}

function stop(execution) {
    dialog({
        title: _("End this call?"),
        sign: "warning",
        colour: "warning",
        body: [
            h("p", null, _("Its processes get SIGTERM, and those that are left five seconds later SIGKILL.")),
            whatStops(execution).map(words => h("p", null, words)),
        ],
        actions: [{ text: _("End it"), kind: "danger", test: "stop-confirm", run: () => json(["stop", execution.id, "--yes"]) }],
    });
}

function actions(execution) {
    const guest = execution.driver === "qemu";
    return h("div.actions", null,
             execution.state === "running"
                 ? button(_("End this call"), "danger", () => stop(execution), { "data-test": "stop" })
                 : !execution.untrusted && button(_("Run again"), "secondary", () => retry(execution.id), { "data-test": "retry" }),
             button(_("Download report"), "secondary", event => download(execution, event), { "data-test": "download" }),
             guest && machinesLink(execution.object));
}

function told(execution) {
    if (execution.status === null)
        return null;
    return execution.status === 0 ? _("success (0)") : format(_("failure ($0)"), execution.status);
}

function summary(execution) {
    const guest = GUESTS.includes(execution.driver);
    return facts([
        [guest ? _("Guest") : execution.driver === "network" ? _("Network") : _("Object"), guest || execution.driver === "network"
            ? h("a.link", { href: route.href(["guests", execution.object], execution.driver === "qemu" ? {} : { driver: execution.driver }) }, oneLine(execution.object))
            : oneLine(execution.object)],
        [_("Began"), h("time", { datetime: execution.began, title: exactly(execution.began) }, when(execution.began))],
        [_("Took"), execution.duration_s === null ? null : duration(execution.duration_s)],
        [_("Result for libvirt"), told(execution)],
        [_("Kind of call"), classWords(execution.class)],
        [_("Origin of the guest"), execution.origin],
        [_("Called by"), [execution.cause === "libvirt" ? execution.daemon || "libvirt" : causeWords(execution.cause),
            execution.parent && [" ", h("a.link", { href: callHref(execution.parent) }, _("(of this call)"))]]],
        [_("Other host"), execution.remote && execution.remote.host],
        [_("Waited in the queue"), execution.waited_in_queue_s && duration(execution.waited_in_queue_s)],
        [_("UUID"), execution.uuid && h("span.mono", null, execution.uuid), true],
        [_("Id"), h("span.mono", null, execution.id), true],
    ]);
}

function state(execution) {
    const parts = [];
    if (execution.failure)
        parts.push(alert(execution.mended_by ? "info" : execution.status === 0 ? "warning" : "danger", prose(execution.failure), {
            test: "call-failure",
            body: execution.mended_by && h("p", null, h("a.link", { href: callHref(execution.mended_by) }, _("A later run was good"))),
        }));
    if (execution.state === "lost")
        parts.push(alert("warning", _("hookmux died before this call was over. It isn't known what its hooks did.")));
    if (execution.state === "bypassed")
        parts.push(alert("warning", _("Hooks were switched off: none ran, and libvirt was told of success.")));
    if (execution.untrusted)
        parts.push(alert("info", _("This record was written by the user hookmux-consume, for an event of another host. What it says is no proof of anything.")));
    for (const remark of execution.notes)
        parts.push(note(prose(remark.message), " ", remark.fix_command ? command(remark.fix_command) : remark.fix && prose(remark.fix)));
    return parts;
}

function runningNow(execution) {
    if (!execution.running.length)
        return null;
    return h("ul.running-now", { "data-test": "running-now" }, execution.running.map(hook => h("li", null,
        label(_("running"), "blue", "running"),
        h("span.running-hook", null, hook.hook),
        h("span.subtle", null, hook.limit_s === null ? clock(hook.running_s) : format(_("$0 of $1"), clock(hook.running_s), clock(hook.limit_s)), " · ", format(_("process $0"), hook.pid)),
        hook.last_line && h("code.running-line", null, hook.last_line))));
}

function notRun(execution) {
    const list = execution.plan.filter(step => step.state !== "runs");
    if (!list.length)
        return null;
    return cardWith({ test: "not-run-card" }, _("What didn't run"), h("ul.plain-list", null, list.map(step =>
        h("li", { "data-test": "not-run", "data-hook": step.hook },
          h("span.not-run-hook", null, oneLine(step.hook), step.device && ` ${step.device}`),
          h("span.subtle", null, step.state === "not run" ? "" : `${step.state}: `, prose(step.reason || step.state))))));
}

function related(execution) {
    if (!execution.later.length)
        return null;
    return cardWith({}, _("What came of it"), h("ul.plain-list", null, execution.later.map(later =>
        h("li", { "data-test": "related", "data-id": later.id },
          h("a.link", { href: callHref(later.id) }, when(later.began)), h("span", null, causeWords(later.cause)), resultLabel(later), later.failure && h("span.subtle", null, later.failure)))));
}

function documents(execution) {
    if (execution.document !== null && execution.document_after !== null)
        return cardWith({ test: "document-diff" }, _("What libvirt got instead of its document"), change(execution));
    if (execution.document === null)
        return execution.left_out ? h("p.subtle.aside", null, execution.left_out) : null;
    return cardWith({}, null, h("details.fold", { "data-test": "document" }, h("summary", null, _("libvirt's document"), execution.document_masked && h("span.subtle", null, ` ${_("(passwords are replaced)")}`)),
                                h("pre.diff", { tabindex: "0" }, execution.document.slice(0, LARGEST)),
                                execution.document.length > LARGEST && h("p.subtle", null, _("The rest of it is in the report."))));
}

function draw(slot, execution) {
    const now = execution.state === "running" ? elapsed(execution) : null;
    replace(slot,
            h("nav.pf-v6-c-breadcrumb", { "aria-label": _("Breadcrumb") }, h("ol.pf-v6-c-breadcrumb__list", null,
              h("li.pf-v6-c-breadcrumb__item", null, h("a.pf-v6-c-breadcrumb__link", { href: route.href(["calls"]) }, _("Calls"))),
              h("li.pf-v6-c-breadcrumb__item", null, h("span.pf-v6-c-breadcrumb__item-divider", null, icon("right")), h("span.pf-v6-c-breadcrumb__link.pf-m-current", { "aria-current": "page" }, `${callWords(execution)} ${oneLine(execution.object)}`)))),
            cardWith({ actions: actions(execution), test: "call-facts", className: "call-head" },
                     [h("span", null, `${callWords(execution)} ${oneLine(execution.object)}`), " ", h("span", { "data-test": "call-state", "data-state": execution.state }, resultLabel(execution))],
                     state(execution), runningNow(execution), summary(execution)),
            cardWith({ test: "timeline-card" }, _("Timeline"), execution.runs.length ? bars(execution, now) : h("p.subtle", null, _("No hook ran."))),
            notRun(execution),
            documents(execution),
            execution.stderr ? cardWith({}, _("What libvirt got on standard error"), h("pre.output-text", { tabindex: "0" }, execution.stderr.trimEnd())) : null,
            related(execution));
}

export function call(slot, place, page) {
    const id = place.path[1] || "last";
    let closed = false;
    let timer = null;
    let unwatch = null;
    let shown = null;
    append(slot, loading());

    // While it runs: each line of `watch` about it, and a look each two seconds for the last line of output.
    function follow(execution) {
        // detached hooks that a retry has queued run by themselves
        const over = execution.state !== "running" && execution.state !== "queued";
        page.live(over ? "off" : "live");
        clearTimeout(timer);
        if (over) {
            if (unwatch)
                unwatch();
            unwatch = null;
            return;
        }
        if (cockpit.hidden)
            return;
        timer = setTimeout(load, 2000);
        if (!unwatch)
            unwatch = lines(["watch", `--driver=${execution.driver}`, `--guest=${execution.object}`], objects => {
                if (objects.some(object => object.id === execution.id && object.kind !== "begun"))
                    load();
            }, () => { unwatch = null });
    }

    // Nothing is asked while nobody looks.
    const seen = () => {
        if (cockpit.hidden) {
            clearTimeout(timer);
            if (unwatch)
                unwatch();
            unwatch = null;
        } else {
            load();
        }
    };
    cockpit.addEventListener("visibilitychange", seen);

    let loadingNow = false;
    let once = false;
    async function load() {
        if (loadingNow) {
            once = true;
            return;
        }
        loadingNow = true;
        try {
            const execution = await json(["show", "--", id]);
            if (closed)
                return;
            if (!execution.id)
                throw new HookmuxError(format(_("$0 is no call"), id));
            const text = JSON.stringify(execution);
            if (text !== shown) {
                const focus = slot.contains(document.activeElement) && document.activeElement.dataset.test;
                draw(slot, execution);
                const again = focus && slot.querySelector(`[data-test="${CSS.escape(focus)}"]`);
                if (again)
                    again.focus();
            }
            shown = text;
            page.title(`${callWords(execution)} ${oneLine(execution.object)}`);
            follow(execution);
        } catch (error) {
            if (!closed) {
                shown = null;
                replace(slot, failure(error, () => { replace(slot, loading()); load() }));
                page.live("off");
            }
        } finally {
            loadingNow = false;
        }
        page.ready();
        if (once && !closed) {
            once = false;
            load();
        }
    }
    load();

    return {
        close() {
            closed = true;
            cockpit.removeEventListener("visibilitychange", seen);
            clearTimeout(timer);
            if (unwatch)
                unwatch();
        },
    };
}
