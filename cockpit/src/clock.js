// The host's clock: a browser's may go otherwise. `watch` says what time it is on the host when it begins.
let offset = 0;

export const hostNow = () => Date.now() + offset;

export function setHostTime(text, now = Date.now()) {
    const at = Date.parse(text);
    if (!Number.isNaN(at))
        offset = at - now;
}
