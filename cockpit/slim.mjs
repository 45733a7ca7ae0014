// Takes out of a minified style sheet what has no effect in the page: rules of themes that Cockpit doesn't set, of PatternFly's parts and variants that
// the page's script doesn't name, and custom properties that nothing reads.

const FOREIGN = /\.pf-v6-theme-(?!dark\b)[\w-]+/;

// The parts of a list of selectors; a comma within brackets isn't one between selectors.
function selectors(text) {
    const parts = [];
    let depth = 0;
    let part = "";
    for (const sign of text) {
        depth += sign === "(" || sign === "[" ? 1 : sign === ")" || sign === "]" ? -1 : 0;
        if (sign === "," && depth === 0) {
            parts.push(part);
            part = "";
        } else {
            part += sign;
        }
    }
    return [...parts, part];
}

// Without what stands in brackets: `:not(.x)` and `:is(.x, .y)` can hold without such a class.
function bare(selector) {
    let before;
    do {
        before = selector;
        selector = before.replace(/\([^()]*\)/g, "");
    } while (selector !== before);
    return selector;
}

// Whether a selector can hold: PatternFly's classes stand in the script as a whole (`pf-v6-c-card`), or without `pf-m-` (`green`).
function holds(selector, script) {
    const plain = bare(selector);
    if (FOREIGN.test(plain))
        return false;
    return [...plain.matchAll(/\.pf-(?:(v6-[cl]-[\w-]+)|m-([\w-]+))/g)].every(([, part, variant]) =>
        part ? new RegExp(`pf-${part}(?![\\w-])`).test(script) : new RegExp(`(?<![\\w])${variant}(?![\\w-])`).test(script));
}

function withoutIdle(css, script) {
    const known = new Map();
    const can = selector => {
        if (!known.has(selector))
            known.set(selector, holds(selector, script));
        return known.get(selector);
    };
    return css.replace(/([^{}@;]+)\{([^{}]*)\}/g, (whole, list, body) => {
        const kept = selectors(list).filter(can);
        return kept.length ? `${kept.join(",")}{${body}}` : "";
    });
}

const SET = /(--[\w-]+):((?:[^;{}"']|"[^"]*"|'[^']*')*)(;|(?=\}))/g;

function withoutUnread(css) {
    const read = new Set([...css.matchAll(/var\((--[\w-]+)/g)].map(found => found[1]));
    return css.replace(SET, (whole, name) => read.has(name) ? whole : "");
}

// `script`: all of the page's script and markup.
export function slim(css, script) {
    let before;
    let after = withoutIdle(css, script);
    do {
        before = after;
        after = withoutUnread(before);
    } while (after !== before);
    // Rules and groups of rules that are empty by now.
    do {
        before = after;
        after = before.replace(/(?<=^|[{};])[^{}@;]+\{\}/g, "").replace(/@[^{}@;]+\{\}/g, "");
    } while (after !== before);
    return after;
}
