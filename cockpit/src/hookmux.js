// Calls of hookmux. It is the only program that the page runs; every answer is JSON, and every error is in its own words.
import { _ } from "./text.js";

const cockpit = globalThis.cockpit;

export class HookmuxError extends Error {
    constructor(message, more) {
        super(message);
        this.problem = null;        // Cockpit's: access-denied, not-found, terminated …
        this.status = null;         // the exit status
        this.code = null;           // hookmux': failed, no-rights, usage, unanswered
        this.fix = null;
        this.fixCommand = null;
        Object.assign(this, more);
    }
}

const spawn = args => cockpit.spawn(["hookmux", ...args], { superuser: "require", err: "message" });

function parsed(text) {
    try {
        return text ? JSON.parse(text) : null;
    } catch {
        return null;
    }
}

function failed(exception, output) {
    const answer = parsed(output);
    if (answer && answer.error)
        return new HookmuxError(answer.error.message, {
            status: exception.exit_status,
            code: answer.error.code,
            fix: answer.error.fix,
            fixCommand: answer.error.fix_command,
        });
    return new HookmuxError(exception.message || exception.problem || _("hookmux ended without a word"), {
        problem: exception.problem || null,
        status: exception.exit_status === undefined ? null : exception.exit_status,
    });
}

// Behind the command's name, as all that comes after `--` is no option.
const asJson = ([name, ...rest]) => [name, "--output=json", ...rest];

// The text that a command prints.
export function text(args) {
    return new Promise((resolve, reject) => {
        spawn(args).then(output => resolve(output), (exception, output) => reject(failed(exception, output)));
    });
}

// The object that a command prints. Exit status 1 with an object is an answer too: `check` has found something, a hook of `retry` failed.
// `signal`: ends the command when nobody waits for it any more; then the promise stays open.
export function json(args, signal) {
    return new Promise((resolve, reject) => {
        const process = spawn(asJson(args));
        if (signal)
            signal.addEventListener("abort", () => process.close("cancelled"), { once: true });
        process.then(
            output => {
                const answer = parsed(output);
                if (answer === null)
                    reject(new HookmuxError(_("The answer of hookmux isn't JSON")));
                else if (answer.format > 1)
                    reject(new HookmuxError(_("This hookmux is newer than this page. Update the package cockpit-hookmux, and load the page again.")));
                else
                    resolve(answer);
            },
            (exception, output) => {
                const answer = parsed(output);
                if (answer && !answer.error && exception.exit_status === 1)
                    resolve(answer);
                else if (!signal || !signal.aborted)
                    reject(failed(exception, output));
            });
    });
}

// A command that prints an object on each line until it is closed. Returns what closes it.
export function lines(args, online, onend) {
    const process = spawn(asJson(args));
    let rest = "";
    let whole = "";             // an error is an object over several lines
    let open = true;
    process.stream(data => {
        if (whole.length < 65536)
            whole += data;
        const parts = (rest + data).split("\n");
        rest = parts.pop();
        const objects = parts.map(parsed).filter(object => object !== null && typeof object === "object");
        if (open && objects.length)
            online(objects);
    });
    const end = error => {
        if (open) {
            open = false;
            onend(error);
        }
    };
    process.then(() => end(null), exception => end(failed(exception, whole)));
    return () => {
        open = false;
        process.close("cancelled");
    };
}
