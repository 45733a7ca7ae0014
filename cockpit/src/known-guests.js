// The names of guests and networks that are known, for fields in which one is typed; asked for again after a minute.
import { h, replace } from "./dom.js";
import { json } from "./hookmux.js";

const VALID = 60000;
let names = null;
let asked = 0;

export function knownGuests() {
    if (!names || Date.now() - asked > VALID) {
        asked = Date.now();
        names = json(["list", "--guests"]).then(answer => [...new Set(answer.guests.map(guest => guest.object))], () => { names = null; return [] });
    }
    return names;
}

// A list that is offered while somebody types, and what a field needs to have it.
export function guestChoices(id) {
    const list = h("datalist", { id });
    return { list, properties: { list: id, onfocus: () => knownGuests().then(known => replace(list, known.map(value => h("option", { value })))) } };
}
