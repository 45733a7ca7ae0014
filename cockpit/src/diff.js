// A line diff of two documents.

const LARGEST = 4_000_000;      // cells of the table: about 2,000 lines that differ on each side

// The lines of `before` and `after` as [sign, text] with the sign " ", "-" or "+". Null where they are too large.
export function diff(before, after) {
    const a = lines(before);
    const b = lines(after);
    let start = 0;
    while (start < a.length && start < b.length && a[start] === b[start])
        start++;
    let end = 0;
    while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end])
        end++;
    const middle = between(a.slice(start, a.length - end), b.slice(start, b.length - end));
    if (middle === null)
        return null;
    return [
        ...a.slice(0, start).map(text => [" ", text]),
        ...middle,
        ...a.slice(a.length - end).map(text => [" ", text]),
    ];
}

function lines(text) {
    const all = text.split("\n");
    if (all[all.length - 1] === "")
        all.pop();
    return all;
}

// The longest common sequence of lines, by a table from the end.
function between(a, b) {
    if (a.length * b.length > LARGEST)
        return null;
    const width = b.length + 1;
    const longest = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--)
        for (let j = b.length - 1; j >= 0; j--)
            longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    const result = [];
    let i = 0;
    let j = 0;
    while (i < a.length || j < b.length) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            result.push([" ", a[i++]]);
            j++;
        } else if (j === b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
            result.push(["-", a[i++]]);
        } else {
            result.push(["+", b[j++]]);
        }
    }
    return result;
}

// The changed lines and `context` lines around them, in groups; between them is what was left out: { skipped, lines }.
export function hunks(all, context = 3) {
    const near = new Uint8Array(all.length);
    all.forEach(([sign], place) => {
        if (sign !== " ")
            near.fill(1, Math.max(0, place - context), place + context + 1);
    });
    const result = [];
    let skipped = 0;
    all.forEach((line, place) => {
        if (!near[place]) {
            skipped++;
            return;
        }
        if (result.length === 0 || skipped)
            result.push({ skipped, lines: [] });
        skipped = 0;
        result[result.length - 1].lines.push(line);
    });
    return { groups: result, rest: skipped };
}
