// The link from a guest to the page Machines, which is a package of its own.
import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { button } from "./pf.js";
import { hasMachines, toMachine } from "./route.js";
import { _ } from "./text.js";

function missing() {
    dialog({ title: _("Machines isn't installed"), body: h("p", null, _("Guests are shown by another page of Cockpit, which is in the package cockpit-machines.")) });
}

export function machinesLink(name) {
    return button(_("Open in Machines"), "link", () => hasMachines() ? toMachine(name) : missing(), { "data-test": "machines-link", sign: "out" });
}
