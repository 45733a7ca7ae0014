// Running the hooks of a call once more. hookmux says what would run, or why it doesn't; it is overruled only after it was read.
import { dialog } from "./dialog.js";
import { h, prose } from "./dom.js";
import { json } from "./hookmux.js";
import { alert } from "./pf.js";
import { go } from "./route.js";
import { _, ngettext, format } from "./text.js";
import { command } from "./command.js";

const isRefusal = error => error.code !== null && (/--force\b/.test(error.message) || (error.fixCommand || []).includes("--force"));

function whatRuns(answer) {
    const changed = answer.changed_programs.map(program => format(_("$0 isn't the program that ran then"), program.hook));
    return [
        answer.hooks.length
            ? [h("p", null, format(ngettext("This hook runs again, with the input that it had then:", "These $0 hooks run again, with the input that they had then:", answer.hooks.length), answer.hooks.length)),
               h("ol.dialog-list.is-numbered", null, answer.hooks.map(hook => h("li", null, h("span.mono", null, hook))))]
            : h("p", null, _("No hook would run.")),
        answer.missing.length ? alert("warning", _("These hooks are gone, and don't run:"), { body: answer.missing.join(", ") }) : null,
        changed.map(text => alert("warning", text)),
        answer.notes.map(note => alert("info", prose(note.message), { body: note.fix_command ? command(note.fix_command) : note.fix })),
    ];
}

// Asks hookmux, runs, and goes to the new execution.
export function retry(id) {
    const run = async force => {
        const answer = await json(["retry", id, ...(force ? ["--force"] : [])]);
        if (answer.id)
            go(["call", answer.id]);
    };
    const ask = async (shown, force) => {
        try {
            const answer = await json(["retry", id, "--dry-run", ...(force ? ["--force"] : [])]);
            const actions = answer.hooks.length || answer.changed
                ? [{ text: force ? _("Run them all the same") : _("Run again"), kind: force ? "danger" : "primary", run: () => run(force), test: force ? "retry-force" : "retry-run" }]
                : [];
            shown.show([force && refused && alert("warning", prose(refused.message), { test: "retry-refusal" }), whatRuns(answer)], actions);
        } catch (error) {
            if (force || !isRefusal(error)) {
                shown.show([], []);
                shown.fail(error);
                return;
            }
            refused = error;
            shown.show([
                alert("warning", prose(error.message), { test: "retry-refusal" }),
                h("p", null, _("You can have them run all the same. What would run is shown before.")),
            ], [{ text: _("Show what would run"), kind: "warning", test: "retry-anyway", run: async () => { await ask(shown, true); return false } }]);
        }
    };
    let refused = null;
    const shown = dialog({ title: _("Run the hooks again?"), body: h("p.subtle", null, _("Asking hookmux…")), wide: true, test: "retry-dialog" });
    ask(shown, false);
}
