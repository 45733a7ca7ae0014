// The life of a guest: a lane for each thing that is done with it, libvirt's calls in their order, and the hooks of each.

// What a part says, but for its name: two parts with the same are shown once.
const shape = part => JSON.stringify(part.calls.map(call => [call.driver, call.object, call.operation, call.extra, call.after_failure,
    call.steps.map(step => [step.hook, step.device, step.state, step.reason])]));

// The parts in their order; one that is as an earlier one has `as`: that one's action.
export function lanes(parts) {
    const seen = new Map();
    return parts.map(part => {
        if (!part.calls.length)
            return { ...part, as: null };
        const key = shape(part);
        const as = seen.get(key) || null;
        if (!as)
            seen.set(key, part.action);
        return { ...part, as };
    });
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
