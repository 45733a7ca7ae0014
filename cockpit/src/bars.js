// The timeline of a call: a row for each hook with its bar to scale, waits before it, its limit, and below what it printed.
import { h, prose } from "./dom.js";
import { output } from "./output.js";
import { label } from "./pf.js";
import { href } from "./route.js";
import { layout } from "./timeline.js";
import { _, format, ngettext } from "./text.js";
import { duration } from "./time.js";
import { oneLine } from "./visible.js";
import { look, runWord } from "./words.js";

const place = ({ left, width }) => ({ "inset-inline-start": `${left.toFixed(3)}%`, "inline-size": `${width.toFixed(3)}%` });

function kind(run) {
    if (run.undo)
        return ["↶", _("undo")];
    if (/ \(rollback\)$/.test(run.hook))
        return ["◄", _("rollback")];
    return null;
}

function waitBar(wait) {
    const words = format(_("waited $0: $1"), duration(wait.seconds), wait.reason);
    return h("span.bar-wait", { style: place(wait), title: words, "data-test": "run-wait" }, h("span.for-readers", null, words));
}

function track({ run, bar, waits, limit }, marks) {
    const words = bar
        ? format(_("began after $0, took $1"), duration(run.start_s), duration(run.duration_s))
        : run.state === "queued" ? _("in the queue; it runs after the call") : _("not started");
    return h("div.track", null,
             marks.map(mark => h("span.track-mark", { style: { "inset-inline-start": `${mark.left}%` }, "aria-hidden": "true" })),
             waits.map(waitBar),
             bar && h("span.bar-run", { class: `is-${look(run.state).name}`, style: place(bar), title: words, "data-test": "run-bar" }),
             limit !== null && h("span.bar-limit", { style: { "inset-inline-start": `${limit.toFixed(3)}%` }, title: format(_("time limit: $0"), duration(run.limit_s)), "data-test": "run-limit" }),
             h("span.for-readers", null, words, limit !== null && format(_(", time limit $0"), duration(run.limit_s))));
}

function tags(run) {
    const list = [];
    if (run.changed_document)
        list.push(label(_("changed the document"), "blue"));
    if (run.timed_out)
        list.push(label(format(_("time limit $0"), duration(run.limit_s)), "red"));
    if (run.left_running.length)
        list.push(label(format(ngettext("left $0 process running", "left $0 processes running", run.left_running.length), run.left_running.length), "orange", null,
                        { title: run.left_running.map(process => `${process.pid} ${process.name}`).join("\n") }));
    return list;
}

// How it ended, at the end of its line.
function ending(run, going) {
    const { colour, sign } = look(run.state);
    if (run.state === "good")
        return duration(run.duration_s);
    if (going && run.start_s === null && run.state !== "queued" && run.state !== "running")
        return h("span.subtle", null, _("not yet"));
    return [label(run.state === "running" ? _("running") : runWord(run), colour, sign), run.duration_s !== null && h("span.run-took-s", null, duration(run.duration_s))];
}

function row(entry, marks, going) {
    const { run } = entry;
    const { name } = look(run.state);
    const what = kind(run);
    const details = [
        run.failure && h("p.run-failure", null, prose(run.failure)),
        output("stdout", run.stdout),
        output("stderr", run.stderr),
        run.command_line && h("details.run-command", null, h("summary", null, _("Command")),
                              h("code", { tabindex: "0" }, run.command_line),
                              run.registration && h("p.subtle", null, run.registration)),
    ].filter(Boolean);
    return h("li.run", { "data-test": "run", "data-hook": run.hook, "data-state": run.state },
             h("div.run-line", null,
               h("div.run-name", null,
                 h("span.square", { class: `is-${name}`, "aria-hidden": "true" }),
                 what && h("span.run-kind", { title: what[1] }, what[0], h("span.for-readers", null, what[1])),
                 h("a.run-hook", { href: href(["hooks"], { hook: run.undo ? run.undo.hook : run.hook.replace(/ \((check|rollback|undo)\)$/, "") }) }, oneLine(run.hook)),
                 run.device && h("span.subtle", null, run.device)),
               track(entry, marks),
                 h("div.run-took", null, ending(run, going))),
             tags(run).length ? h("div.run-tags", null, tags(run)) : null,
             details.length ? h("div.run-details", null, details) : null);
}

// `now`: for how many seconds a call that isn't over has been running.
export function bars(execution, now = null) {
    const { rows, own, marks } = layout(execution, now);
    const axis = h("div.run-line.axis", { "aria-hidden": "true" }, h("div"), h("div.track.is-axis", null,
                   marks.map(mark => h("span.axis-mark", { style: { "inset-inline-start": `${mark.left}%` }, class: mark.left > 97 ? "is-last" : "" }, mark.at === 0 ? "0" : duration(mark.at)))), h("div"));
    const waits = own.map(wait => h("li.run", null, h("div.run-line", null,
                                                       h("div.run-name.subtle", null, wait.hook || _("the call itself")),
                                                       h("div.track", null, waitBar(wait)), h("div.run-took", null, duration(wait.seconds))),
                                    h("div.run-tags.subtle", null, wait.reason)));
    const said = rows.flatMap(entry => entry.waits).length + own.length;
    return h("div.timeline", null, axis, h("ol.runs", null, waits, rows.map(entry => row(entry, marks, now !== null))),
             said || rows.some(entry => entry.limit !== null)
                 ? h("p.legend", { "aria-hidden": "true" },
                     said ? [h("span.legend-wait"), _("waiting"), " "] : null,
                     rows.some(entry => entry.limit !== null) ? [h("span.legend-limit"), _("time limit")] : null)
                 : null);
}
