// Every text of the page goes through gettext. Outside of Cockpit (unit tests) texts stay as they are.
const api = globalThis.cockpit;

export const _ = text => api ? api.gettext(text) : text;

// Marks a text for translators that is looked up later.
export const N_ = text => text;

export const ngettext = (one, many, number) => api ? api.ngettext(one, many, number) : number === 1 ? one : many;

// `$0` and so on are replaced. Written here, as Cockpit's own treats a missing value as an empty text.
export const format = (text, ...values) => text.replace(/\$(\d)/g, (whole, place) => Number(place) < values.length ? String(values[place]) : whole);

// The language that dates and numbers are written in.
export const language = () => (api && api.language ? api.language.replace("_", "-") : undefined);
