// Output beyond a few lines is folded: its beginning, its end, and how many lines lie between.
const HEAD = 3;
const TAIL = 5;
const WIDEST = 400;     // characters of a line that are shown at once

export function fold(text) {
    const all = text.replace(/\n$/, "").split("\n");
    const long = all.some(line => line.length > WIDEST);
    if (all.length <= HEAD + TAIL + 1 && !long)
        return { head: all, hidden: 0, tail: [], whole: true };
    const short = line => line.length > WIDEST ? `${line.slice(0, WIDEST)} …` : line;
    if (all.length <= HEAD + TAIL + 1)
        return { head: all.map(short), hidden: 0, tail: [], whole: false };
    return { head: all.slice(0, HEAD).map(short), hidden: all.length - HEAD - TAIL, tail: all.slice(-TAIL).map(short), whole: false };
}
