// The rows of the list: what `log` told, and what `watch` tells since then, each execution once, the newest first.

// What is over isn't begun again by an older answer: `log` may have been read before a line of `watch` that came first.
const isOver = execution => execution.state !== "running" && execution.state !== "queued";

export class Rows {
    constructor() {
        this.rows = new Map();
    }

    get size() {
        return this.rows.size;
    }

    get(id) {
        return this.rows.get(id);
    }

    // Puts executions in, and returns the ids of those that are new or other than before. An answer of `log` also says what a newer one can't: whether
    // a failure had a good later run since.
    put(executions) {
        const changed = [];
        for (const execution of executions) {
            const before = this.rows.get(execution.id);
            if (before && isOver(before) && !isOver(execution))
                continue;
            if (before && same(before, execution))
                continue;
            this.rows.set(execution.id, execution);
            changed.push(execution.id);
        }
        return changed;
    }

    // All, the newest first: ids are ULIDs, which sort by the time of the call.
    sorted() {
        return [...this.rows.values()].sort((one, other) => one.id < other.id ? 1 : one.id > other.id ? -1 : 0);
    }

    // Keeps the newest `limit` and those that run. Returns how many were dropped.
    keep(limit) {
        let dropped = 0;
        for (const execution of this.sorted().slice(limit))
            if (isOver(execution)) {
                this.rows.delete(execution.id);
                dropped++;
            }
        return dropped;
    }
}

function same(one, other) {
    return one.state === other.state && one.mended_by === other.mended_by && one.detached === other.detached &&
        one.duration_s === other.duration_s && one.runs.length === other.runs.length &&
        one.runs.every((run, place) => run.state === other.runs[place].state && run.hook === other.runs[place].hook) &&
        one.running.length === other.running.length &&
        one.running.every((run, place) => run.hook === other.running[place].hook && run.last_line === other.running[place].last_line);
}
