// Running the hooks of a call once more. hookmux says what would run, or why it doesn't; it is overruled only after it was read.
import { announce } from "./announce.js";
import { dialog } from "./dialog.js";
import { h, prose } from "./dom.js";
import { HookmuxError, json } from "./hookmux.js";
import { alert } from "./pf.js";
import { go } from "./route.js";
import { _, format } from "./text.js";
import { command } from "./command.js";

const isRefusal = error => error.code !== null && (/--force\b/.test(error.message) || (error.fixCommand || []).includes("--force"));

// What would run; each hook of several can be left out. `chosen` is what isn't.
function whatRuns(answer, chosen) {
    const changed = answer.changed_programs.map(program => format(_("$0 isn't the program that ran then"), program.hook));
    const several = answer.hooks.length > 1;
    return [
        answer.hooks.length
            ? [h("p", null, several ? _("These hooks run again, with the input that they had then:") : _("This hook runs again, with the input that it had then:")),
               h("ul.dialog-list", null, answer.hooks.map(hook => h("li", null, several
                   ? h("label", null, h("input", { type: "checkbox", checked: true, "data-test": "retry-hook", "data-hook": hook, onchange: event => event.target.checked ? chosen.add(hook) : chosen.delete(hook) }), h("span.mono", null, hook))
                   : h("span.mono", null, hook))))]
            : h("p", null, _("No hook would run.")),
        answer.missing.length ? alert("warning", _("These hooks are gone, and don't run:"), { body: answer.missing.join(", ") }) : null,
        changed.map(text => alert("warning", text)),
        answer.notes.map(note => alert("info", prose(note.message), { body: note.fix_command ? command(note.fix_command) : note.fix })),
    ];
}

// Asks hookmux, runs, and goes to the new execution.
export function retry(id) {
    const run = async (force, answer, chosen) => {
        if (chosen.size === 0 && answer.hooks.length)
            throw new HookmuxError(_("Choose at least one hook."));
        const some = chosen.size < answer.hooks.length ? [...chosen].map(hook => `--hook=${hook}`) : [];
        const done = await json(["retry", id, ...some, ...(force ? ["--force"] : [])]);
        // whoever has closed the dialog meanwhile isn't sent elsewhere
        if (done.id && shown.isOpen())
            go(["call", done.id]);
        else
            announce(_("The hooks have run again"));
    };
    // hookmux may refuse only when it is to run them: a dry run leaves its questions out
    const runOrAsk = async (answer, chosen) => {
        try {
            await run(false, answer, chosen);
        } catch (error) {
            if (!isRefusal(error))
                throw error;
            refused = error;
            await ask(shown, true);
            return false;
        }
        return true;
    };
    const ask = async (shown, force) => {
        try {
            const answer = await json(["retry", id, "--dry-run", ...(force ? ["--force"] : [])]);
            const chosen = new Set(answer.hooks);
            const actions = answer.hooks.length || answer.changed
                ? [{ text: force ? _("Run them all the same") : _("Run again"), kind: force ? "danger" : "primary", run: () => force ? run(true, answer, chosen) : runOrAsk(answer, chosen), test: force ? "retry-force" : "retry-run" }]
                : [];
            shown.show([force && refused && alert("warning", prose(refused.message), { test: "retry-refusal" }), whatRuns(answer, chosen)], actions);
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
