// The guests and networks that are known, and the life of one.
import { onBack } from "../back.js";
import { h, replace } from "../dom.js";
import { blocks, fail, failure } from "../failure.js";
import { json } from "../hookmux.js";
import { icon } from "../icons.js";
import { life } from "../life.js";
import { button, cell, emptyState, input, label, loading, table } from "../pf.js";
import { callHref, resultLabel, time } from "../row.js";
import * as route from "../route.js";
import { _ } from "../text.js";
import { oneLine } from "../visible.js";
import { callWords } from "../words.js";

const DRIVERS = ["qemu", "lxc", "libxl", "bhyve", "network"];

function chooser(guests) {
    if (!guests.length)
        return emptyState("hook", _("No guest is known yet"), { body: h("p", null, _("Guests and networks appear here once libvirt has defined one, or has made a call about one.")) });
    return table(_("Guests and networks"), [_("Name"), _("Driver"), _("State"), _("Last call"), _("Result")], h("tbody.pf-v6-c-table__tbody", null, guests.map(guest =>
        h("tr.pf-v6-c-table__tr.guest-row", { "data-test": "guest-row", "data-guest": guest.object },
          cell(_("Name"), h("a.link.strong", { href: guestHref(guest), "data-test": "guest-link", "data-guest": guest.object }, oneLine(guest.object))),
          cell(_("Driver"), guest.driver),
          cell(_("State"), guest.running === null ? "" : guest.running ? label(_("runs"), "green", "good") : label(_("shut off"), "grey", "off"), !guest.defined && [" ", label(_("transient or gone"), "grey")]),
          cell(_("Last call"), guest.last ? [h("a.link", { href: callHref(guest.last.id) }, callWords(guest.last)), h("span.subtle", null, " ", time(guest.last.began))] : h("span.subtle", null, _("none"))),
          cell(_("Result"), guest.last ? resultLabel(guest.last) : "")))));
}

// Two guests of different drivers may have the same name.
const guestHref = guest => route.href(["guests", guest.object], guest.driver === "qemu" ? {} : { driver: guest.driver });

export function guests(slot, place, page) {
    const name = place.path[1];
    let unknown = false;        // show it although nobody knows the guest
    let closed = false;
    let shown = null;

    const load = () => {
        shown = null;
        replace(slot, loading());
        return name === undefined ? all() : one();
    };

    async function all() {
        const withLife = answer => answer.guests.filter(guest => DRIVERS.includes(guest.driver));
        try {
            const known = withLife(await json(["list", "--guests"]));
            if (closed)
                return;
            const list = h("div.list-body");
            const draw = text => replace(list, chooser(known.filter(guest => guest.object.toLowerCase().includes(text.toLowerCase()))));
            const search = input({ type: "search", placeholder: _("Guest or network"), "aria-label": _("Guest or network"), "data-test": "guest-name", oninput: event => draw(event.target.value),
                                   onkeydown: event => event.key === "Enter" && event.target.value && route.go(["guests", event.target.value]) });
            replace(slot, h("section.pf-v6-c-card.calls-card", { "aria-label": _("Guests and networks") },
                            h("div.toolbar", { role: "search" }, search.element,
                              button(_("Show"), "secondary", () => search.control.value && route.go(["guests", search.control.value]), { "data-test": "guest-show", title: _("Also of a guest that isn't in the list") })),
                            list));
            draw("");
        } catch (error) {
            if (!closed)
                fail(slot, slot, error, load, page);
        }
        page.ready();
    }

    async function one() {
        page.title(name);
        const crumbs = h("nav.pf-v6-c-breadcrumb", { "aria-label": _("Breadcrumb") }, h("ol.pf-v6-c-breadcrumb__list", null,
            h("li.pf-v6-c-breadcrumb__item", null, h("a.pf-v6-c-breadcrumb__link", { href: route.href(["guests"]) }, _("Guests"))),
            h("li.pf-v6-c-breadcrumb__item", null, h("span.pf-v6-c-breadcrumb__item-divider", null, icon("right")), h("span.pf-v6-c-breadcrumb__link.pf-m-current", { "aria-current": "page" }, name))));
        try {
            const driver = place.options.driver;
            const answer = await json(["plan", ...(DRIVERS.includes(driver) ? [`--driver=${driver}`] : []), ...(unknown ? ["--unknown"] : []), "--", name]);
            if (closed)
                return;
            const text = JSON.stringify(answer);
            if (text !== shown)
                replace(slot, crumbs, life(answer));
            shown = text;
        } catch (error) {
            if (!closed && blocks(error))
                fail(slot, slot, error, load, page);
            else if (!closed)
                replace(slot, crumbs, failure(error, load),
                        error.status === 2 && !unknown && h("p", null, button(_("Show which hooks would run for a guest with this name"), "link inline", () => { unknown = true; load() })));
        }
        page.ready();
    }

    load();
    const alone = onBack(() => name !== undefined && shown !== null && one());
    return {
        close() {
            closed = true;
            alone();
        },
    };
}
