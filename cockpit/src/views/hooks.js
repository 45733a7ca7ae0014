// All hooks by event, in the order in which they run; registered ones can be switched off and on.
import { announce } from "../announce.js";
import { onBack } from "../back.js";
import { command } from "../command.js";
import { dialog } from "../dialog.js";
import { append, h, prose, replace } from "../dom.js";
import { eventHead } from "../event-head.js";
import { fail, failure } from "../failure.js";
import { HookmuxError, json } from "../hookmux.js";
import * as host from "../host.js";
import { button, emptyState, facts, field, input, label, loading, note, toggles } from "../pf.js";
import { callHref } from "../row.js";
import * as route from "../route.js";
import { _, format, ngettext } from "../text.js";
import { ago, duration, exactly } from "../time.js";
import { oneLine } from "../visible.js";
import { hookColour, hookWord, look, runWord, word } from "../words.js";

// `hooks.d/NAME.yaml` → NAME, as `enable` and `disable` take it.
const registrationName = path => path.replace(/^.*\//, "").replace(/\.ya?ml$/, "");

function turn(hook, on, again) {
    const name = registrationName(hook.registration);
    const reason = input({ "data-test": "hook-reason" });
    dialog({
        title: format(on ? _("Let $0 run again?") : _("Keep $0 from running?"), name),
        body: [
            h("p", null, on ? _("From the next call on it runs again at its events.") : _("Its registration is kept. From the next call on it doesn't run at any of its events.")),
            h("form.pf-v6-c-form", { onsubmit: event => event.preventDefault() }, field(_("Reason"), reason, _("Kept for hookmux log --audit"))),
        ],
        actions: [{
            text: on ? _("Enable") : _("Disable"),
            kind: on ? "primary" : "danger",
            run: async () => {
                const answer = await json([on ? "enable" : "disable", ...(reason.control.value ? [`--reason=${reason.control.value}`] : []), "--", name]);
                if (answer.problems && answer.problems.length)
                    throw new HookmuxError(answer.problems.map(problem => problem.message).join("\n"));
                announce(answer.changed === false ? format(_("Nothing was changed: $0 was so already"), name) : on ? format(_("$0 runs again"), name) : format(_("$0 is disabled"), name));
                again();
                host.refresh().catch(() => {});
            },
        }],
    });
}

function last(hook) {
    if (!hook.last)
        return h("span.subtle", null, _("never"));
    return [h("span.square", { class: `is-${look(hook.last.state).name}`, "aria-hidden": "true" }), " ",
        h("a.link", { href: callHref(hook.last.id), title: exactly(hook.last.began) }, ago(hook.last.began)),
        h("span.for-readers", null, `, ${word(hook.last.state)}`),
        h("span.subtle", null, ` ${oneLine(hook.last.object)}`)];
}

// What is known of a hook beyond its row, and how its runs went.
function details(hook, slot) {
    const registered = hook.registered;
    const words = list => list && list.length ? h("code", null, list.join(" ")) : null;
    const statistics = h("div", null, h("span.subtle", null, _("Loading…")));
    replace(slot,
            facts([
                [_("Why it doesn't run"), hook.reason && prose(hook.reason), true],
                [_("Program"), h("code", null, hook.path), true],
                [_("Registration"), hook.registration && h("code", null, hook.registration), true],
                [_("Command"), registered && words(registered.command), true],
                [_("Arguments"), registered && words(registered.args)],
                [_("For whom"), hook.condition],
                [_("Time limit"), registered && registered.timeout_s !== null ? duration(registered.timeout_s) : null],
                [_("If it fails"), registered && registered.on_failure],
                [_("Check"), registered && words(registered.check)],
                [_("Rollback"), registered && words(registered.rollback)],
                [_("Undo"), registered && words(registered.undo)],
                [_("Lock"), registered && registered.lock],
                [_("Runs as"), registered && registered.run_as && registered.run_as.user],
                [_("Style"), hook.style],
                [_("SHA-256"), hook.sha256 && h("span.mono", { title: hook.sha256 }, hook.sha256.slice(0, 12))],
            ]),
            hook.fix_command ? h("p.hook-fix", null, h("span.subtle", null, _("What to do:"), " "), command(hook.fix_command)) : hook.fix && note(prose(hook.fix)),
            statistics);
    json(["show", "--", hook.hook]).then(answer => {
        const { runs, failed, median_s: median, longest_s: longest } = answer.statistics;
        replace(statistics, h("div.hook-runs", null,
                              h("p", null, runs === 0
                                  ? _("No run of it is recorded.")
                                  : [format(ngettext("$0 recorded run", "$0 recorded runs", runs), runs), failed ? format(_(", $0 failed"), failed) : "",
                                      median === null ? "" : format(_(", usually $0"), duration(median)), longest === null ? "" : format(_(", at most $0"), duration(longest))]),
                              answer.executions.length ? h("ul.hook-last", { "aria-label": _("Its last runs") }, answer.executions.slice(0, 12).map(run => h("li", null,
                                  h("a", { href: callHref(run.id), title: `${run.object}, ${runWord(run)}, ${exactly(run.began)}` },
                                    h("span.square", { class: `is-${look(run.state).name}` }), h("span.for-readers", null, `${run.object}, ${runWord(run)}, ${ago(run.began)}`))))) : null));
    }, error => replace(statistics, failure(error)));
}

function row(hook, again, open) {
    const more = h("div.hook-more", { hidden: true });
    const toggle = h("button.hook-name", {
        type: "button", "aria-expanded": "false", "data-test": "hook-toggle", title: hook.path,
        onclick: () => {
            more.hidden = !more.hidden;
            toggle.setAttribute("aria-expanded", String(!more.hidden));
            if (!more.hidden)
                details(hook, more);
        },
    }, h("span.hook-order", { "aria-hidden": "true" }, hook.order === null ? "–" : String(hook.order)), h("span", null, oneLine(hook.name)));
    // what fails its calls, or is refused, is what one wants to switch off
    const can = hook.registration !== null && ["active", "fails", "refused", "disabled", "masked"].includes(hook.state);
    const off = hook.state === "disabled" || hook.state === "masked";
    const element = h("li.hook", { "data-test": "hook", "data-hook": hook.hook, "data-state": hook.state, class: hook.state === "disabled" || hook.state === "masked" ? "is-off" : "" },
                      h("div.hook-line", null,
                        toggle,
                        h("div.hook-state", null, label(hookWord(hook.state), hookColour(hook.state), null, { title: hook.reason })),
                        h("div.hook-for", null, hook.condition ? h("span", { title: _("For whom it runs") }, hook.condition) : h("span.subtle", null, _("everybody"))),
                        h("div.hook-when", null, last(hook)),
                        h("div.hook-act", null, can && button(off ? _("Enable") : _("Disable"), "link inline", () => turn(hook, off, again),
                                                              { "data-test": off ? "hook-enable" : "hook-disable", "aria-label": `${off ? _("Enable") : _("Disable")} ${registrationName(hook.registration)}` }))),
                      hook.state !== "active" && hook.reason && hook.state !== "disabled" ? h("p.hook-reason", null, prose(hook.reason)) : null,
                      more);
    if (open)
        toggle.click();
    return element;
}

// The hooks in the order of `list`, together where they run; with `every` also the events that have none, in the order in which they fire.
function byPlace(hooks, events, every) {
    const places = new Map(every ? events.map(event => [event.event, []]) : []);
    for (const hook of hooks)
        places.set(hook.place, [...(places.get(hook.place) || []), hook]);
    return places;
}

export function hooks(slot, place, page) {
    let closed = false;
    let all = [];
    let shown = null;
    const wanted = place.options.hook;
    const list = h("div", null, loading());
    let events = [];
    let every = false;
    const which = toggles(_("Events"), [["some", _("With hooks")], ["all", _("All events")]], "some", value => { every = value === "all"; draw() }, "hooks-events");
    const search = input({ type: "search", placeholder: _("Name, event or program"), "aria-label": _("Name, event or program"), "data-test": "hooks-search", value: wanted || "", oninput: () => draw() });
    append(slot, h("section.pf-v6-c-card.calls-card", { "aria-label": _("Hooks") },
                   h("div.toolbar", { role: "search" }, search.element, which.element), list));

    function draw(opened) {
        const words = search.control.value.toLowerCase();
        const found = all.filter(hook => [hook.hook, hook.place, hook.path, hook.registration || ""].some(text => text.toLowerCase().includes(words)));
        const names = every ? events.filter(event => event.event.includes(words)) : [];
        const places = byPlace(found, names, every);
        const focused = list.contains(document.activeElement) && document.activeElement.closest("[data-hook]");
        if (!all.length && !every)
            replace(list, emptyState("hook", _("There is no hook yet"), { body: [h("p", null, _("A hook is an executable file in the directory of an event, or a program that is registered. This makes a first one:")), command(["hookmux", "new", "after_vm_start", "10-first"])] }));
        else if (!places.size)
            replace(list, emptyState("search", _("No hook matches"), { actions: button(_("Clear filters"), "link", () => { search.control.value = ""; draw(); search.control.focus() }) }));
        else
            replace(list, [...places].map(([name, some]) => h("section.event", { "aria-label": name, "data-test": "event", "data-event": name },
                                                              eventHead(name, events.find(event => event.event === name) || null),
                                                              some.length ? h("ol.hooks", null, some.map(hook => row(hook, load, hook.hook === opened))) : h("p.event-none", null, _("no hook")))));
        const again = focused && list.querySelector(`[data-hook="${CSS.escape(focused.dataset.hook)}"] .hook-act button, [data-hook="${CSS.escape(focused.dataset.hook)}"] button`);
        if (again)
            again.focus();
    }

    async function load() {
        try {
            const [answer, known] = await Promise.all([json(["list"]), events.length ? { events } : json(["events"])]);
            if (closed)
                return;
            events = known.events;
            const text = JSON.stringify(answer.hooks);
            const first = all.length === 0;
            all = answer.hooks;
            if (text !== shown)
                draw(first ? wanted : null);
            shown = text;
        } catch (error) {
            if (closed)
                return;
            shown = null;
            fail(slot, list, error, load, page);
        }
        page.ready();
    }
    load();
    const alone = onBack(load);
    return {
        close() {
            closed = true;
            alone();
        },
    };
}
