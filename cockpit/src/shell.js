// The frame of the page: the bar with the views, the banner of the emergency switch, and the view that is shown.
import { announceRegion } from "./announce.js";
import { bypassBanner } from "./bypass.js";
import { closeDialog } from "./dialog.js";
import { append, h, replace } from "./dom.js";
import { findingsCount, keepCount } from "./findings.js";
import * as host from "./host.js";
import { here, href, onmoved } from "./route.js";
import { _, ngettext, format } from "./text.js";
import { call } from "./views/call.js";
import { calls } from "./views/calls.js";
import { check } from "./views/check.js";
import { guests } from "./views/guests.js";
import { hooks } from "./views/hooks.js";
import { overview } from "./views/overview.js";

const TABS = [
    ["overview", [], _("Overview")],
    ["calls", ["calls"], _("Calls")],
    ["guests", ["guests"], _("Guests")],
    ["hooks", ["hooks"], _("Hooks")],
    ["check", ["check"], _("Check")],
];

// The view of a path, and the tab that it belongs to.
function viewOf(path) {
    switch (path[0]) {
    case undefined: return ["overview", overview, "overview"];
    case "calls": return ["calls", calls, "calls"];
    case "call": return ["call", call, "calls"];
    case "guests": return ["guests", guests, "guests"];
    case "hooks": return ["hooks", hooks, "hooks"];
    case "check": return ["check", check, "check"];
    default: return ["overview", overview, "overview"];
    }
}

const LIVE = {
    live: [_("Live"), _("New calls appear by themselves")],
    connecting: [_("Connecting…"), _("New calls don't appear yet")],
    paused: [_("Paused"), _("What is shown doesn't change by itself")],
};

function liveSign() {
    const text = h("span");
    const element = h("div.live", { "data-test": "live", "data-state": "off", hidden: true }, h("span.live-dot", { "aria-hidden": "true" }), text);
    const set = state => {
        element.hidden = state === "off";
        element.dataset.state = state;
        if (LIVE[state]) {
            text.textContent = LIVE[state][0];
            element.title = LIVE[state][1];
        }
    };
    return { element, set };
}

function navigation() {
    const links = new Map();
    const count = h("span.pf-v6-c-badge.pf-m-unread", { hidden: true, "data-test": "check-count" });
    const items = TABS.map(([name, path, title]) => {
        const link = h("a.pf-v6-c-tabs__link", { href: href(path), "data-test": `nav-${name}` },
                       h("span.pf-v6-c-tabs__item-text", null, title), name === "check" && count);
        const item = h("li.pf-v6-c-tabs__item", null, link);
        links.set(name, [item, link]);
        return item;
    });
    const mark = name => {
        for (const [key, [item, link]] of links) {
            item.classList.toggle("pf-m-current", key === name);
            if (key === name)
                link.setAttribute("aria-current", "page");
            else
                link.removeAttribute("aria-current");
        }
    };
    const setCount = number => {
        count.hidden = number === 0;
        replace(count, String(number), h("span.for-readers", null, ngettext(" problem", " problems", number)));
    };
    return { element: h("nav.pf-v6-c-tabs", { "aria-label": _("Views") }, h("ul.pf-v6-c-tabs__list", null, items)), mark, setCount };
}

export function start(root) {
    const bar = navigation();
    const live = liveSign();
    const banner = h("section.banner", { "aria-label": _("Emergency switch") });
    const slot = h("main.view", { id: "view", tabindex: "-1" });
    append(root, [
        h("header.bar", null, h("h1.for-readers", null, _("libvirt hooks")), bar.element, live.element),
        banner,
        slot,
    ]);
    // not inside: what a dialog covers isn't read
    append(document.body, announceRegion());

    let open = null;
    const page = {
        live: live.set,
        // The findings, for the number beside "Check".
        findings: list => bar.setCount(keepCount(list)),
        // A view says that its first data are there.
        ready: () => {
            if (!slot.dataset.ready) {
                slot.dataset.ready = "true";
                later();
            }
        },
        // The view once more, from its beginning.
        again: () => show(true),
        title: words => { document.title = words ? format("$0 – $1", words, _("Hooks")) : _("Hooks") },
    };

    // What isn't urgent comes after the first view, so that it doesn't make that one wait.
    let asked = false;
    const later = () => {
        if (asked)
            return;
        asked = true;
        host.refresh().catch(() => {});
        findingsCount().then(bar.setCount, () => {});
    };

    function show(afresh = false) {
        const route = here();
        const [name, view, tab] = viewOf(route.path);
        if (!afresh && open && open.name === name && open.moved && open.moved(route))
            return;
        closeDialog();
        const before = open;
        if (before)
            before.close();
        live.set("off");
        delete slot.dataset.ready;
        slot.dataset.test = "view";
        slot.dataset.view = name;
        slot.replaceChildren();
        slot.setAttribute("aria-label", TABS.find(entry => entry[0] === tab)[2]);
        bar.mark(tab);
        page.title(name === "overview" ? null : TABS.find(entry => entry[0] === tab)[2]);
        open = { close() {}, ...view(slot, route, page), name };
        if (before && !afresh) {
            window.scrollTo(0, 0);
            slot.focus({ preventScroll: true });
        }
    }

    onmoved(() => show());
    host.onAccess(() => { asked = false; show(true) });
    host.listen(status => bypassBanner(banner, status));
    show();
}
