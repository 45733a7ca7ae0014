import { h } from "../dom.js";
import { json } from "../hookmux.js";
import { failure } from "../failure.js";

export function guests(slot, route, page) {
    json(["status"]).then(() => page.ready(), error => { slot.append(failure(error)); page.ready() });
    slot.append(h("p", null, "guests"));
    return {};
}
