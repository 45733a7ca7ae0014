// Everything that is wrong on the host, each with what to do. Only what is a command of hookmux' own can be done from here.
import { announce } from "../announce.js";
import { command } from "../command.js";
import { dialog } from "../dialog.js";
import { append, h, prose, replace } from "../dom.js";
import { failure } from "../failure.js";
import { json, text } from "../hookmux.js";
import * as host from "../host.js";
import { icon } from "../icons.js";
import { canFix } from "../fix.js";
import { button, cardWith, emptyState, loading } from "../pf.js";
import { quote } from "../quote.js";
import { _, format, ngettext } from "../text.js";

const SEVERITIES = [
    ["error", "failed", _("Errors"), _("Something doesn't work as it should.")],
    ["warning", "warning", _("Warnings"), _("Something will probably not do what was meant.")],
    ["note", "note", _("Notes"), _("Good to know.")],
];

function fix(finding, again) {
    dialog({
        title: _("Fix this?"),
        body: [h("p", null, prose(finding.message)), h("p", null, _("This command is run on the host:")), command(finding.fix_command)],
        wide: true,
        actions: [{
            text: _("Fix"),
            test: "mend-confirm",
            run: async () => {
                await text(finding.fix_command.slice(1));
                announce(_("Done"));
                again();
                host.refresh().catch(() => {});
            },
        }],
    });
}

function element(finding, again) {
    const more = finding.paths.filter(path => path !== finding.path);
    return h("li.finding", { "data-test": "finding", "data-code": finding.code, "data-severity": finding.severity },
             h("div.finding-text", null,
               h("p.finding-message", null, prose(finding.message)),
               more.length > 0 && h("details.fold", null, h("summary", null, format(ngettext("$0 more file", "$0 more files", more.length), more.length)), h("ul.paths", null, more.map(path => h("li.mono", null, path)))),
               finding.excerpt && h("pre.excerpt", { tabindex: "0" }, finding.excerpt.join("\n")),
               finding.fix_command || finding.fix
                   ? h("div.finding-fix", { "data-test": "finding-fix" },
                       finding.fix_command
                           ? command(finding.fix_command, "finding")
                           : h("p", null, h("span.subtle", null, _("What to do:"), " "), prose(finding.fix)),
                       canFix(finding.fix_command) && button(_("Fix…"), "secondary small", () => fix(finding, again), { "data-test": "finding-mend", "aria-label": `${_("Fix…")} ${quote(finding.fix_command)}` }))
                   : null),
             h("code.finding-code", null, finding.code));
}

export function check(slot, place, page) {
    let closed = false;
    let running = new AbortController();
    const body = h("div.check", null, loading(_("Checking…")));
    append(slot, body);

    async function load() {
        try {
            running.abort();
            running = new AbortController();
            const { findings } = await json(["check"], running.signal);
            if (closed)
                return;
            page.findings(findings);
            const again = button(_("Check again"), "secondary", event => { event.currentTarget.disabled = true; load().then(() => announce(_("Checked"))) }, { "data-test": "check-again" });
            const counts = SEVERITIES.map(([severity, , name]) => [name, findings.filter(finding => finding.severity === severity).length]).filter(([, count]) => count);
            const hadFocus = body.contains(document.activeElement);
            replace(body,
                    h("div.check-head", null,
                      h("p.subtle", null, counts.length ? counts.map(([name, count]) => `${name}: ${count}`).join(" · ") : _("Nothing was run or changed to find this out.")), again),
                    findings.length === 0 ? cardWith({}, null, emptyState("good", _("Nothing is wrong"), { test: "check-clean", body: h("p", null, _("All hooks can run, and libvirt calls hookmux where it was installed.")) })) : null,
                    SEVERITIES.map(([severity, sign, name, what]) => {
                        const some = findings.filter(finding => finding.severity === severity);
                        return some.length ? cardWith({ className: `findings is-${severity}` }, [h("span.finding-sign", null, icon(sign)), name, h("span.part-what", null, ` ${what}`)],
                                                      h("ul.finding-list", null, some.map(finding => element(finding, load)))) : null;
                    }));
            if (hadFocus)
                again.focus();
        } catch (error) {
            if (!closed)
                replace(body, failure(error, load));
        }
        page.ready();
    }
    load();
    return {
        close() {
            closed = true;
            running.abort();
        },
    };
}
