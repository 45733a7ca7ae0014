// The state of the host at a glance.
import { beginBypass, endBypass } from "../bypass.js";
import { chart } from "../chart.js";
import { hostNow } from "../clock.js";
import { command } from "../command.js";
import { append, h, prose, replace } from "../dom.js";
import { blocks, failure } from "../failure.js";
import { Feed } from "../feed.js";
import * as filters from "../filters.js";
import * as host from "../host.js";
import { icon } from "../icons.js";
import { List, listTable } from "../list.js";
import { button, cardWith, emptyState, label, loading, note } from "../pf.js";
import { quote } from "../quote.js";
import { callHref } from "../row.js";
import * as route from "../route.js";
import { _, format, ngettext } from "../text.js";
import { ago, clock } from "../time.js";
import { callWords } from "../words.js";
import { oneLine } from "../visible.js";

const RECENT = 8;

const ENTRIES = {
    installed: "green", beside: "orange", overwritten: "red", dangling: "red", foreign: "orange", odd: "red", missing: "grey",
};

function fact(name, test, sign, ...content) {
    return h("div.state-row", { "data-test": test },
             h("dt", null, name),
             h("dd", null, sign && h("span.state-sign", { class: `is-${sign}` }, icon(sign === "warning" ? "warning" : sign)), h("div", null, content)));
}

function entries(status) {
    const wanted = status.entries.filter(entry => entry.state !== "missing" || status.entries.every(other => other.state === "missing"));
    return h("span.entries", null, wanted.map(entry => label(entry.state === "installed" ? entry.driver : `${entry.driver}: ${entry.state}`, ENTRIES[entry.state] || "grey", null,
                                                             { "data-test": "entry", "data-driver": entry.driver, "data-state": entry.state, title: entry.message })));
}

function number(count, one, many) {
    return format(ngettext(one, many, count), count);
}

function hooksFact(status) {
    const { active, not_run: idle } = status.hooks;
    const link = text => h("a.link", { href: route.href(["hooks"]) }, text);
    return idle
        ? fact(_("Hooks"), "status-hooks", "warning", link(number(active, "$0 runs", "$0 run")), ", ", h("a.link", { href: route.href(["check"]) }, number(idle, "$0 doesn't, but should", "$0 don't, but should")))
        : fact(_("Hooks"), "status-hooks", active ? "good" : "note", link(active ? number(active, "$0 runs", "$0 run") : _("none yet")));
}

function queueFact({ queue }) {
    const parts = [
        queue.running && number(queue.running, "$0 runs", "$0 run"),
        queue.waiting && number(queue.waiting, "$0 waits", "$0 wait"),
        queue.failing && number(queue.failing, "$0 has failed and is tried again", "$0 have failed and are tried again"),
        queue.put_aside && number(queue.put_aside, "$0 was put aside", "$0 were put aside"),
        queue.unread && number(queue.unread, "$0 can't be read", "$0 can't be read"),
    ].filter(Boolean);
    return fact(_("Queue"), "status-queue", queue.put_aside || queue.failing || queue.unread ? "warning" : "good", parts.length ? parts.join(", ") : _("empty"));
}

function undoFact({ undos }) {
    const parts = [
        undos.set_up && number(undos.set_up, "$0 set up", "$0 set up"),
        undos.due && number(undos.due, "$0 about to run", "$0 about to run"),
        undos.owed && number(undos.owed, "$0 owed", "$0 owed"),
        undos.unread && number(undos.unread, "$0 can't be read", "$0 can't be read"),
    ].filter(Boolean);
    return fact(_("Undo"), "status-undo", undos.owed || undos.unread ? "warning" : "good", parts.length ? parts.join(", ") : _("nothing is owed"));
}

function switchFact(status) {
    const whole = status.bypasses.find(bypass => bypass.object === null);
    const some = status.bypasses.length && !whole;
    return fact(_("Emergency switch"), "status-bypass", whole || some ? "warning" : "good",
                whole ? _("on: no hook runs") : some ? number(status.bypasses.length, "on for $0 guest", "on for $0 guests") : _("off: hooks run"), " ",
                whole
                    ? button(_("Run hooks again"), "link inline", () => endBypass(whole), { "data-test": "bypass-end" })
                    : button(_("Switch hooks off…"), "link inline", () => beginBypass(), { "data-test": "bypass-open" }));
}

function libvirt({ libvirt: { version, daemons } }) {
    if (version === null)
        return fact("libvirt", "status-libvirt", "warning", _("isn't installed"));
    return fact("libvirt", "status-libvirt", daemons.length ? "good" : "note", version, daemons.length ? ` (${[...new Set(daemons.map(daemon => daemon.name))].join(", ")})` : ` (${_("no daemon runs")})`);
}

function stateCard(status) {
    const broken = status.entries.some(entry => !["installed", "missing"].includes(entry.state)) || status.entries.every(entry => entry.state === "missing");
    return cardWith({ test: "status" }, _("State"), h("dl.state", null,
        fact("hookmux", "status-version", null, status.hookmux_version),
        libvirt(status),
        fact(_("Entries"), "status-entries", broken ? "warning" : "good", entries(status)),
        hooksFact(status), queueFact(status), undoFact(status),
        status.outbox.on && fact(_("Outbox"), "status-outbox", status.outbox.lost ? "warning" : "good", number(status.outbox.events, "$0 event waits", "$0 events wait")),
        switchFact(status)));
}

function figure(count, name, test, kind, options) {
    return h("a.figure", { href: route.href(["calls"], options), class: count ? kind : "", "data-test": test },
             h("span.figure-number", null, String(count)), h("span.figure-name", null, name));
}

function dayCard({ last_day: day }) {
    if (!day)
        return cardWith({ test: "day" }, _("Last 24 hours"), h("p.subtle", null, _("A newer version of hookmux has counted them.")));
    return cardWith({ test: "day" }, _("Last 24 hours"),
                    h("div.figures", null,
                      figure(day.calls, ngettext("call", "calls", day.calls), "day-calls", "", { since: "24h" }),
                      figure(day.failed, _("failed"), "day-failed", "is-bad", { since: "24h", only: "failed" }),
                      figure(day.lost, _("lost"), "day-lost", "is-warn", { since: "24h", only: "lost" }),
                      day.detached_failed ? h("div.figure.is-bad", { "data-test": "day-detached" }, h("span.figure-number", null, String(day.detached_failed)), h("span.figure-name", null, _("detached failed"))) : null),
                    day.hours && day.hours.length ? chart(day.hours) : null,
                    day.last_failure && h("p.last-failure", { "data-test": "last-failure" },
                                          h("span.subtle", null, _("Last failure:"), " "),
                                          h("a.link", { href: callHref(day.last_failure.id) }, `${callWords(day.last_failure)} ${oneLine(day.last_failure.object)}`),
                                          h("span.subtle", null, ` ${ago(day.last_failure.began)}`),
                                          day.last_failure.failure && h("span.why", null, prose(day.last_failure.failure))));
}

// Detached hooks that failed, and are tried again or were put aside.
function queueCard({ queue }) {
    if (!queue.failures.length)
        return null;
    return cardWith({ test: "queue-failures" }, _("Detached hooks that failed"), h("ul.plain-list", null, queue.failures.map(job => h("li", { "data-id": job.id },
        h("a.link", { href: callHref(job.parent) }, job.hook), h("span", null, job.object),
        h("span.subtle", null, job.state, " · ", format(ngettext("$0 try", "$0 tries", job.attempts), job.attempts)),
        job.last && h("span.why", null, prose(job.last))))));
}

// What runs now, drawn again each second.
function runningCard() {
    const list = h("ul.plain-list", { "data-test": "running" });
    let calls = [];
    const draw = () => replace(list, calls.length
        ? calls.map(execution => h("li", { "data-test": "running-call", "data-id": execution.id },
                                   h("a.link", { href: callHref(execution.id) }, `${callWords(execution)} ${oneLine(execution.object)}`),
                                   h("span.running-time", null, clock((hostNow() - Date.parse(execution.began)) / 1000)),
                                   execution.running[0] && h("span.subtle.running-what", null, execution.running[0].last_line ? format(_("$0: $1"), execution.running[0].hook, execution.running[0].last_line) : execution.running[0].hook)))
        : h("li.subtle", null, _("No call is running.")));
    draw();
    const timer = setInterval(() => calls.length && !list.contains(document.activeElement) && draw(), 1000);
    return {
        element: cardWith({}, _("Running now"), list),
        set: next => { calls = next; draw() },
        close: () => clearInterval(timer),
    };
}

function nextSteps(status) {
    const bare = status.entries.every(entry => entry.state === "missing");
    if (bare)
        return cardWith({ test: "not-linked" }, null, emptyState("hook", _("libvirt doesn't call hookmux yet"), {
            body: [h("p", null, _("Hooks run once hookmux is entered where libvirt looks for its hook programs:")), command(["hookmux", "install"])],
        }));
    const list = status.next.filter(step => step.code !== "bypassed");
    if (!list.length)
        return null;
    return cardWith({ test: "next-steps" }, _("Next"), h("ul.plain-list", null, list.map(step => h("li.next-step", { "data-test": "next-step" },
        h("p", null, prose(step.message)),
        step.fix_command && !step.message.includes(quote(step.fix_command)) ? command(step.fix_command) : !step.fix_command && step.fix ? h("p.subtle", null, prose(step.fix)) : null))));
}

export function overview(slot, place, page) {
    const list = new List();
    const running = runningCard();
    const top = h("div.overview-top", null, loading());
    const steps = h("div.overview-steps", { hidden: true });
    const recent = h("div", { "data-test": "recent" }, loading());
    let timer = null;
    let fed = false;

    append(slot, [steps, h("div.overview-grid", null, top, h("div.overview-side", null, running.element)),
        h("section.pf-v6-c-card.calls-card", { "aria-labelledby": "recent-title" },
          h("div.pf-v6-c-card__header", null, h("div.pf-v6-c-card__header-main", null, h("div.pf-v6-c-card__title", null, h("h2.pf-v6-c-card__title-text", { id: "recent-title" }, _("Newest calls")))),
            h("div.pf-v6-c-card__actions.pf-m-no-offset", null, h("a.link", { href: route.href(["calls"]) }, _("All calls")))),
          recent)]);

    const drawStatus = status => {
        const next = nextSteps(status);
        steps.hidden = !next;
        replace(steps, next);
        if (!top.contains(document.activeElement))
            replace(top, stateCard(status), dayCard(status), queueCard(status));
        if (!fed)
            running.set(status.running);
        page.ready();
    };
    const ask = () => host.refresh().catch(error => {
        if (closed)
            return;
        if (!host.known() || blocks(error))
            replace(slot, failure(error, page.again));
        page.ready();
    });
    // Many calls may end in a second; the numbers need not follow each of them.
    const soon = () => {
        timer ||= setTimeout(() => { timer = null; host.refresh().catch(() => {}) }, 2000);
    };
    let closed = false;
    const quiet = host.listen(drawStatus);
    ask();

    const feed = new Feed(filters.NONE, {
        live: page.live,
        failed: error => replace(recent, failure(error, () => feed.again())),
        rows: (ids, kind) => {
            const all = feed.rows.sorted();
            fed = true;
            running.set(all.filter(execution => execution.state === "running").reverse());
            const shown = all.slice(0, RECENT);
            list.keep(new Map(shown.map(execution => [execution.id, true])));
            list.put(shown, kind === "live" || kind === "dropped");
            if (!shown.length)
                replace(recent, h("div.list-foot", { "data-test": "no-call-yet" }, note(_("libvirt has made no call yet for which a hook was considered."))));
            else if (!recent.contains(list.body))
                replace(recent, listTable(list, _("Newest calls")));
            // after a pause, too: what is counted has gone on
            soon();
        },
    }, { page: 20 });

    function close() {
        closed = true;
        feed.close();
        list.close();
        running.close();
        quiet();
        clearTimeout(timer);
    }
    return { close };
}
