// The life of a guest or a network as lanes: libvirt's calls, the hooks of each in their order, how they ended last, and why others don't run.
import { command } from "./command.js";
import { h, prose } from "./dom.js";
import { icon } from "./icons.js";
import { groups, hasHooks, lanes } from "./lanes.js";
import { machinesLink } from "./machines.js";
import { alert, cardWith, emptyState, label, note } from "./pf.js";
import { callHref } from "./row.js";
import * as route from "./route.js";
import { _, format, ngettext } from "./text.js";
import { ago, exactly } from "./time.js";
import { oneLine } from "./visible.js";
import { classWords, look, word } from "./words.js";

const ACTIONS = {
    start: _("Start"), reboot: _("Reboot"), reconnect: _("libvirt is restarted"), "snapshot-revert": _("Revert to a snapshot"), save: _("Save"), restore: _("Restore"),
    migrate: _("Migrate away"), "migrate-in": _("Migrate to here"), shutdown: _("Shut down"), destroy: _("Force off"), crash: _("Crash"), suspend: _("Suspend"), resume: _("Resume"),
    "snapshot-create": _("Create a snapshot"), "attach-device": _("Attach a device"), "detach-device": _("Detach a device"), define: _("Define"), undefine: _("Undefine"), update: _("Update"),
};

const NETWORK_ACTIONS = { start: _("Start"), destroy: _("Stop"), update: _("Update"), reconnect: _("libvirt is restarted") };

const actionName = (action, driver) => (driver === "network" && NETWORK_ACTIONS[action]) || ACTIONS[action] || action;

function lastRun(step) {
    if (!step.last)
        return null;
    const words = format(_("Last run: $0, $1"), word(step.last.state), ago(step.last.began));
    return h("a.step-last", { href: callHref(step.last.id), title: `${words}\n${exactly(step.last.began)}` },
             h("span.square", { class: `is-${look(step.last.state).name}` }), h("span.for-readers", null, words));
}

function step(item) {
    const runs = item.state === "runs";
    return h("li.step", { class: runs ? "" : item.state === "fails" ? "is-failing" : "is-idle", "data-test": "step", "data-hook": item.hook, "data-state": item.state },
             h("span.step-order", { "aria-hidden": "true" }, runs || item.state === "fails" ? String(item.order === null ? "" : item.order) : "–"),
             h("div.step-body", null,
               h("span.step-line", null,
                 h("a.step-name", { href: route.href(["hooks"], { hook: item.hook }), title: item.path }, oneLine(item.event ? item.hook.replace(`${item.event}/`, "") : item.hook)),
                 item.detached && label(_("detached"), "grey", null, { title: _("Runs after libvirt has its answer") }),
                 item.undo && label(_("undo"), "grey", null, { title: _("What it sets up is taken back at the end") }),
                 lastRun(item)),
               !runs && h("span.step-reason", null, item.state === "fails" ? `${_("fails")}: ` : item.state === "stopped" ? `${_("doesn't come to it")}: ` : "", prose(item.reason || item.state))));
}

// `own`: the network whose life it is; it needn't be named again.
function lane(call, own) {
    return h("li.lane-call", { "data-test": "lane-call", "data-operation": call.operation, class: call.steps.length ? "" : "is-empty" },
             h("div.lane-head", null,
               h("span.lane-name", null, call.operation, call.extra && call.extra !== "-" && h("span.subtle", null, ` ${call.extra}`)),
               call.driver === "network" && !own && h("span.subtle", null, format(_("for network $0"), call.object)),
               h("span.lane-class", { title: classWords(call.class) }, call.class)),
             call.steps.length
                 ? groups(call).map(group => h("div.lane-event", null,
                                               h("div.lane-event-name", null, group.event || _("for this call"), group.device && h("span.subtle", null, ` ${group.device}`)),
                                               h("ol.steps-list", null, group.steps.map(step))))
                 : h("p.subtle.lane-none", null, _("no hook")),
             call.undos.length ? h("div.lane-event", null, h("div.lane-event-name", null, _("taken back")), h("ol.steps-list", null, call.undos.map(hook =>
                 h("li.step", null, h("span.step-order", { "aria-hidden": "true" }, "↶"), h("div.step-body", null, h("span", null, typeof hook === "string" ? hook : hook.hook)))))) : null,
             call.would_fail ? h("p.lane-outcome", null, icon("failed"), " ", call.outcome || format(_("libvirt is told of a failure ($0)"), call.status)) : null);
}

function part(entry, driver) {
    const name = action => actionName(action, driver);
    const title = [name(entry.action), h("span.part-what", null, entry.what)];
    if (entry.as)
        return h("p.part-as", { "data-test": "part", "data-action": entry.action }, h("strong", null, name(entry.action)), h("span.subtle", null, ` ${entry.what}: `), entry.as.map(action => format(_("as “$0”"), name(action))).join(_(", then ")));
    if (!entry.calls.length)
        return h("p.part-as", { "data-test": "part", "data-action": entry.action }, h("strong", null, name(entry.action)), h("span.subtle", null, ` ${entry.what}: ${entry.reason || _("no call of libvirt's")}`));
    return h("section.part", { "data-test": "part", "data-action": entry.action, "aria-label": name(entry.action) },
             h("h3.part-title", null, title, entry.would_fail && label(_("would fail"), "red", "failed")),
             entry.outcome && note(entry.outcome),
             h("ol.lane", null, entry.calls.filter(call => !call.after_failure).map(call => lane(call, driver === "network"))),
             entry.calls.some(call => call.after_failure)
                 ? [h("p.subtle.part-after", null, _("Because of the failure libvirt then calls:")), h("ol.lane", null, entry.calls.filter(call => call.after_failure).map(call => lane(call, driver === "network")))]
                 : null);
}

// All of it: `answer` is what `plan` says about a guest or a network.
export function life(answer) {
    const isNetwork = answer.driver === "network";
    const name = action => actionName(action, answer.driver);
    const parts = lanes(answer.parts);
    const full = parts.filter(entry => entry.calls.length && !entry.as && hasHooks(entry));
    const rest = parts.filter(entry => !full.includes(entry));
    const state = answer.running === null ? null : answer.running ? label(_("runs"), "green", "good") : label(_("shut off"), "grey", "off");
    return [
        cardWith({
            test: "guest-head",
            actions: answer.driver === "qemu" && machinesLink(answer.object),
        }, [oneLine(answer.object), " ", state],
        h("p.subtle", null, answer.driver, answer.uuid && [" · ", h("span.mono", null, answer.uuid)], answer.networks.length ? ` · ${format(ngettext("network $0", "networks $0", answer.networks.length), answer.networks.join(", "))}` : ""),
        answer.document === null ? note(isNetwork ? _("libvirt has no file about this network: conditions that need one don't hold here.") : _("libvirt has no file about this guest: conditions that need one (uuid, title, network, property) don't hold here.")) : null,
        answer.managed_save ? note(_("libvirt has a managed save of it: its next start is a restore.")) : null,
        answer.notes.map(remark => alert("info", prose(remark.message), { body: remark.fix_command ? command(remark.fix_command) : remark.fix })),
        h("p.guest-links", null, h("a.link", { href: route.href(["calls"], { guest: answer.object }) }, isNetwork ? _("Calls of this network") : _("Calls of this guest")))),
        full.length
            ? cardWith({ className: "life" }, _("Hooks in its life"), full.map(entry => part(entry, answer.driver)))
            : cardWith({}, null, emptyState("hook", isNetwork ? _("No hook runs for this network") : _("No hook runs for this guest"), { body: h("p", null, _("None of the hooks of this host is for it.")) })),
        rest.length ? cardWith({ className: "life-rest" }, _("Everything else"), rest.map(entry => entry.as || !entry.calls.length ? part(entry, answer.driver)
            : h("p.part-as", { "data-test": "part", "data-action": entry.action }, h("strong", null, name(entry.action)), h("span.subtle", null, ` ${entry.what}: ${_("no hook")} (${entry.calls.map(call => call.operation).join(", ")})`)))) : null,
    ];
}
