// The filters of the list of calls: as options of the page's address, and as words for `hookmux log` and `watch`.
// Each value is one word with its option (`--guest=NAME`), so that a guest may be called `--help`.

export const NONE = { guest: "", driver: "", what: "", only: "all", since: "", from: "", until: "" };

export const DRIVERS = ["qemu", "lxc", "libxl", "bhyve", "network", "daemon"];

const SINCE = ["1h", "24h", "7d", "30d", "between"];

export function read(options) {
    const text = name => typeof options[name] === "string" ? options[name] : "";
    const one = (name, values, otherwise) => values.includes(text(name)) ? text(name) : otherwise;
    return {
        guest: text("guest"),
        driver: one("driver", DRIVERS, ""),
        what: text("what"),
        only: one("only", ["failed", "lost"], "all"),
        since: one("since", SINCE, ""),
        from: text("from"),
        until: text("until"),
    };
}

// Only what isn't as without filters.
export function write(filters) {
    const options = {};
    for (const [name, value] of Object.entries(filters))
        if (value !== NONE[name] && (filters.since === "between" || (name !== "from" && name !== "until")))
            options[name] = value;
    return options;
}

export const isSet = filters => Object.keys(write(filters)).length > 0;

// A time of a field of the page, in local time, as hookmux takes it without doubt.
function moment(text) {
    const date = new Date(text);
    return text && !Number.isNaN(date.getTime()) ? date.toISOString() : null;
}

// What was typed as event or call: a bare word is an operation of libvirt's (`started`), all else what `log` takes by itself.
function what(text) {
    const words = text.trim();
    if (words === "")
        return { options: [], last: [] };
    const [driver, operation, ...more] = words.split(/(?:\s|\/)+/);
    if (!more.length && operation && DRIVERS.includes(driver))
        return { options: [`--driver=${driver}`, `--operation=${operation}`], last: [] };
    return /^[a-z][a-z-]*$/.test(words) ? { options: [`--operation=${words}`], last: [] } : { options: [], last: ["--", words] };
}

// The words after `log` or `watch`: options first, and what isn't an option behind `--`.
// `names`: the guests that are known.
export function words(filters, names = []) {
    const options = [];
    if (names.includes(filters.guest))          // a name may begin or end with a space
        options.push(`--guest=${filters.guest}`);
    else if (filters.guest.trim())
        options.push(`--guest=${guest(filters.guest.trim(), names)}`);
    const { options: more, last } = what(filters.what);
    if (filters.driver && !more.some(word => word.startsWith("--driver=")))
        options.push(`--driver=${filters.driver}`);
    options.push(...more);
    if (filters.only !== "all")
        options.push(`--${filters.only}`);
    if (filters.since === "between") {
        const [from, until] = [moment(filters.from), moment(filters.until)];
        if (from)
            options.push(`--since=${from}`);
        if (until)
            options.push(`--until=${until}`);
    } else if (filters.since) {
        options.push(`--since=${filters.since}`);
    }
    return { options, last };
}

// A part of a name finds the name. A pattern is used only where several names have that part: hookmux finds a whole name faster.
function guest(text, names) {
    if (names.includes(text) || /[*?]/.test(text))
        return text;
    const found = names.filter(name => name.toLowerCase().includes(text.toLowerCase()));
    if (found.length === 1)
        return found[0];
    return found.some(name => name.includes(text)) ? `*${text}*` : text;
}

// Whether calls that begin from now on can be in the list.
export function isOpen(filters, now = Date.now()) {
    const end = filters.since === "between" && moment(filters.until);
    return !end || Date.parse(end) > now;
}
