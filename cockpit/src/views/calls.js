// The list of calls, with filters, and new ones as they come.
import { announceLater } from "../announce.js";
import { append, h, prose, replace } from "../dom.js";
import { fail, failure } from "../failure.js";
import { Feed } from "../feed.js";
import * as filters from "../filters.js";
import { json } from "../hookmux.js";
import { guestChoices, knownGuests } from "../known-guests.js";
import { List, listTable } from "../list.js";
import { button, emptyState, input, loading, select, toggles } from "../pf.js";
import * as route from "../route.js";
import { _, format, ngettext } from "../text.js";

const SPANS = [["", _("Any time")], ["1h", _("Last hour")], ["24h", _("Last 24 hours")], ["7d", _("Last 7 days")], ["30d", _("Last 30 days")], ["between", _("Between…")]];
const TYPING = 350;

// The names that are offered while somebody types: events, and calls of libvirt's. Asked for once.
let offered = null;
function offer(list) {
    offered ||= json(["events"]).then(answer => {
        const names = new Set();
        for (const { event, calls } of answer.events) {
            names.add(event);
            for (const { drivers, operation } of calls)
                drivers.forEach(driver => names.add(`${driver}/${operation}`));
        }
        return [...names].sort();
    });
    offered.then(names => replace(list, names.map(value => h("option", { value }))), () => { offered = null });
}

function toolbar(chosen, changed) {
    let timer = null;
    const soon = () => {
        clearTimeout(timer);
        timer = setTimeout(changed, TYPING);
    };
    const now = () => {
        clearTimeout(timer);
        changed();
    };
    const typed = name => ({
        oninput: event => { chosen[name] = event.target.value; soon() },
        onkeydown: event => event.key === "Enter" && now(),
    });
    const picked = name => ({ onchange: event => { chosen[name] = event.target.value; show(); now() } });
    const names = h("datalist", { id: "event-names" });
    const choices = guestChoices("guest-names");
    const guest = input({ type: "search", placeholder: _("Guest or network"), "aria-label": _("Guest or network"), "data-test": "filter-guest", ...choices.properties, ...typed("guest") });
    const what = input({
        type: "search", placeholder: _("Event or operation"), "aria-label": _("Event or operation"), list: names.id, "data-test": "filter-what",
        title: _("For example after_vm_start, after_vm_, qemu/started, started, '*_network_*'"),
        onfocus: () => offer(names), ...typed("what"),
    });
    const driver = select([["", _("All drivers")], ...filters.DRIVERS.map(name => [name, name])], chosen.driver, { "aria-label": _("Driver"), "data-test": "filter-driver", ...picked("driver") });
    const since = select(SPANS, chosen.since, { "aria-label": _("Time"), "data-test": "filter-since", ...picked("since") });
    const only = toggles(_("Result"), [["all", _("All")], ["failed", _("Failed")], ["lost", _("Lost")]], chosen.only, value => { chosen.only = value; now() }, "filter-only");
    const from = input({ type: "datetime-local", "aria-label": _("From"), "data-test": "filter-from", onchange: event => { chosen.from = event.target.value; now() } });
    const until = input({ type: "datetime-local", "aria-label": _("Until"), "data-test": "filter-until", onchange: event => { chosen.until = event.target.value; now() } });
    const between = h("div.toolbar-between", { hidden: true }, from.element, h("span", { "aria-hidden": "true" }, "–"), until.element);
    const clear = button(_("Clear filters"), "link inline", () => {
        Object.assign(chosen, filters.NONE);
        show();
        now();
        guest.control.focus();
    }, { "data-test": "filter-clear" });
    function show() {
        const controls = { guest, what, driver, since, from, until };
        for (const [name, { control }] of Object.entries(controls))
            if (control.value !== chosen[name])
                control.value = chosen[name];
        only.mark(chosen.only);
        between.hidden = chosen.since !== "between";
        clear.hidden = !filters.isSet(chosen);
    }
    show();
    return {
        element: h("div.toolbar", { role: "search", "aria-label": _("Filters") }, guest.element, choices.list, what.element, names, driver.element, since.element, between, only.element, clear),
        show,
        close: () => clearTimeout(timer),
    };
}

function nothing(chosen, clear) {
    if (filters.isSet(chosen))
        return emptyState("search", _("No call matches the filters"), { test: "calls-empty", actions: button(_("Clear filters"), "link", clear) });
    return emptyState("hook", _("No call yet"), {
        test: "no-call-yet",
        body: [
            h("p", null, _("libvirt has made no call since hookmux was installed for which a hook was considered. The first one appears here by itself.")),
            h("p", null, prose(_("To see one, start a guest, or run the hooks of a call by hand, with `hookmux run`."))),
        ],
    });
}

export function calls(slot, place, page) {
    const chosen = filters.read(place.options);
    const list = new List();
    const body = h("div.list-body", null, loading());
    const foot = h("div.list-foot");
    const bar = toolbar(chosen, () => {
        bar.show();
        route.replace(["calls"], filters.write(chosen));
        open();
    });
    let feed = null;
    let untold = [];

    append(slot, h("section.pf-v6-c-card.calls-card", { "aria-label": _("Calls") }, bar.element, body, foot));

    // Told when it is quiet: how many are new, and how many of them failed.
    function tell(ids) {
        untold.push(...ids);
        announceLater(() => {
            const told = untold.splice(0).map(id => feed && feed.rows.get(id)).filter(Boolean);
            const failed = told.filter(execution => execution.state === "failed").length;
            const text = format(ngettext("$0 new call", "$0 new calls", told.length), told.length);
            return failed ? format(_("$0, $1 failed"), text, failed) : text;
        });
    }

    function drawFoot() {
        const count = list.rows.size;
        replace(foot,
                h("span.subtle", null, count ? format(ngettext("$0 call", "$0 calls", count), count) : null),
                feed.next && button(_("Older calls"), "secondary small", older, { "data-test": "calls-older" }));
    }

    async function older(event) {
        const element = event.currentTarget;
        element.disabled = true;
        try {
            await feed.older();
        } catch (error) {
            replace(foot, failure(error, drawFoot));
        }
        element.disabled = false;
    }

    function drawRows(ids, kind) {
        const live = kind === "live" || kind === "dropped";
        const fresh = live ? ids.filter(id => !list.rows.has(id)) : [];
        if (kind === "all" || kind === "dropped")
            list.keep(feed.rows.rows);
        if (feed.rows.size === 0)
            replace(body, nothing(chosen, () => { Object.assign(chosen, filters.NONE); bar.show(); route.replace(["calls"], {}); open() }));
        else if (!body.contains(list.body))
            replace(body, listTable(list, _("Calls")));
        list.put(kind === "all" ? feed.rows.sorted() : ids.map(id => feed.rows.get(id)).filter(Boolean), live);
        drawFoot();
        page.ready();
        if (fresh.length)
            tell(fresh);
    }

    let opened = 0;
    async function open() {
        const turn = ++opened;
        if (feed)
            feed.close();
        feed = null;
        list.keep(new Map());
        untold = [];
        // Rows of other filters go at once; "loading" comes only if it takes a while.
        replace(body, loading());
        replace(foot);
        const names = chosen.guest ? await knownGuests() : [];
        if (turn !== opened)
            return;
        feed = new Feed(chosen, {
            rows: drawRows,
            live: page.live,
            failed: error => {
                replace(foot);
                fail(slot, body, error, open, page);
                page.ready();
            },
        }, { names });
    }
    open();

    return {
        close() {
            opened++;
            if (feed)
                feed.close();
            list.close();
            bar.close();
        },
        // The address was changed by this view itself, or by somebody: then its filters hold.
        moved(next) {
            const wanted = filters.read(next.options);
            if (JSON.stringify(wanted) !== JSON.stringify(filters.read(filters.write(chosen)))) {
                Object.assign(chosen, wanted);
                bar.show();
                open();
            }
            return true;
        },
    };
}
