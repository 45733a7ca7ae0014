// The timeline of a call, to scale: where bars, waits and limits lie, in per cent of its whole length.

// A round step so that `seconds` have at most `most` marks.
export function step(seconds, most = 5) {
    if (!(seconds > 0))
        return 1;
    const rough = seconds / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    for (const factor of [1, 2, 5, 10])
        if (rough <= factor * power * 1.000001)
            return factor * power;
    return 10 * power;
}

// Beyond a minute marks lie at minutes and hours, and not at 50 s.
const ROUND = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

export function marks(seconds, most = 5) {
    const size = seconds <= 10 ? step(seconds, most) : ROUND.find(size => seconds / size <= most) || step(seconds, most);
    const result = [];
    for (let place = 0; place * size <= seconds * 1.0000001; place++)
        result.push(Number((place * size).toPrecision(12)));
    return result;
}

const key = (hook, device) => `${hook}\n${device || ""}`;

// `now`: for how many seconds a call that isn't over has been running.
export function layout(execution, now = null) {
    const runs = execution.runs.filter(run => run.start_s !== null && run.start_s !== undefined);
    const lasts = run => run.duration_s === null ? Math.max(0, (now === null ? 0 : now) - run.start_s) : run.duration_s;
    const ends = [
        execution.duration_s || 0,
        now || 0,
        ...runs.map(run => run.start_s + lasts(run)),
        ...execution.waits.map(wait => wait.start_s + wait.duration_s),
    ];
    const total = Math.max(...ends) || 0.001;
    const percent = seconds => 100 * Math.min(Math.max(seconds / total, 0), 1);
    const waits = new Map();
    for (const wait of execution.waits) {
        const place = key(wait.hook, wait.device);
        waits.set(place, [...(waits.get(place) || []), { left: percent(wait.start_s), width: percent(wait.duration_s), reason: wait.reason, seconds: wait.duration_s }]);
    }
    // A wait belongs to the first run of its hook that starts after it; one without a hook is the call's own.
    const taken = new Set();
    const rows = execution.runs.map(run => {
        const place = key(run.hook, run.device);
        const own = taken.has(place) ? [] : waits.get(place) || [];
        taken.add(place);
        if (run.start_s === null || run.start_s === undefined)
            return { run, bar: null, waits: own, limit: null };
        const seconds = lasts(run);
        const limit = run.limit_s;
        return {
            run,
            bar: { left: percent(run.start_s), width: percent(seconds) },
            waits: own,
            // Where its time was over, if that mattered: it was ended by it, or came near.
            limit: limit && (run.timed_out || seconds >= 0.8 * limit) && run.start_s + limit <= total * 1.02 ? percent(run.start_s + limit) : null,
        };
    });
    const own = [...waits.entries()].filter(([place]) => !taken.has(place)).flatMap(([place, list]) => list.map(wait => ({ ...wait, hook: place.split("\n")[0] })));
    return { total, rows, own: own.map(wait => ({ ...wait, hook: wait.hook === "null" ? null : wait.hook })), marks: marks(total).map(at => ({ at, left: percent(at) })) };
}

// For how many seconds a call has been running, by the host's own clock: since the start of its hooks, and how long these have been running.
export function elapsed(execution) {
    const started = new Map(execution.runs.map(run => [key(run.hook, run.device), run.start_s]));
    const known = execution.running.map(hook => (started.get(key(hook.hook, hook.device)) || 0) + hook.running_s);
    const over = execution.runs.filter(run => run.duration_s !== null && run.start_s !== null).map(run => run.start_s + run.duration_s);
    return Math.max(0, ...known, ...over);
}
