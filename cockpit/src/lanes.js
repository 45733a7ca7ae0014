// The life of a guest: a lane for each thing that is done with it, libvirt's calls in their order, and the hooks of each.

// What a call says: two parts whose calls say the same are shown once.
const shape = call => JSON.stringify([call.driver, call.object, call.operation, call.extra, call.after_failure, call.would_fail,
    call.steps.map(step => [step.hook, step.device, step.state, step.reason]), call.undos]);

const begins = (all, part) => part.length <= all.length && part.every((one, place) => one === all[place]);

// The parts in their order. One whose calls are those of earlier parts has these parts' actions, in their order, as `as`: destroy is as shutdown, a
// return to a snapshot as shutdown and start. So each call with hooks is drawn once.
export function lanes(parts) {
    const drawn = [];
    return parts.map(part => {
        const calls = part.calls.map(shape);
        const as = calls.length ? cover(calls, drawn) : null;
        if (calls.length && !as)
            drawn.push([part.action, calls]);
        return { ...part, as };
    });
}

function cover(calls, drawn) {
    const actions = [];
    let rest = calls;
    while (rest.length) {
        const found = drawn.find(([, part]) => begins(rest, part));
        if (!found)
            return null;
        actions.push(found[0]);
        rest = rest.slice(found[1].length);
    }
    return actions;
}

// The hooks of a call by their events, in the order in which they run; those of the call itself have the event null.
export function groups(call) {
    const result = [];
    for (const step of call.steps) {
        const last = result[result.length - 1];
        if (last && last.event === step.event && last.device === step.device)
            last.steps.push(step);
        else
            result.push({ event: step.event, device: step.device, steps: [step] });
    }
    return result;
}

export const hasHooks = part => part.calls.some(call => call.steps.length);
