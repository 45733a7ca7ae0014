// The emergency switch: its banner, and the dialogs that switch it on and off.
import { announce } from "./announce.js";
import { dialog } from "./dialog.js";
import { h, replace } from "./dom.js";
import { HookmuxError, json } from "./hookmux.js";
import * as host from "./host.js";
import { guestChoices, knownGuests } from "./known-guests.js";
import { alert, button, field, input, select } from "./pf.js";
import { _, format, ngettext } from "./text.js";
import { exactly, until } from "./time.js";
import { oneLine } from "./visible.js";

const TIMES = [["15m", _("15 minutes")], ["1h", _("1 hour")], ["4h", _("4 hours")], ["24h", _("1 day")], ["7d", _("7 days")], ["boot", _("until the host restarts")]];

function sentence(bypass) {
    const end = bypass.this_boot ? _("until the host restarts") : bypass.until ? format(_("until $0"), until(bypass.until)) : _("without an end");
    return bypass.object === null
        ? format(_("Hooks are switched off $0: libvirt's calls succeed, and no hook runs"), end)
        : format(_("Hooks are switched off for $0 $1: libvirt's calls about it succeed, and no hook runs"), oneLine(bypass.object), end);
}

function details(bypass) {
    const parts = [format(_("Since $0"), until(bypass.since))];
    if (bypass.user)
        parts.push(format(_("by $0"), bypass.user));
    return [parts.join(" "), bypass.reason && format(_("Reason: $0"), bypass.reason)].filter(Boolean).join(" · ");
}

const MOST = 3;

function banner(bypass) {
    return alert(bypass.object === null ? "danger" : "warning", sentence(bypass), {
        test: "bypass-banner",
        "data-object": bypass.object,
        title: bypass.until ? exactly(bypass.until) : null,
        body: h("p", null, details(bypass)),
        actions: button(_("Run hooks again"), "link inline", () => endBypass(bypass), { "data-test": "bypass-end" }),
    });
}

// One alert for each; many are folded behind the first ones.
export function bypassBanner(slot, { bypasses }) {
    const more = bypasses.slice(MOST);
    replace(slot, bypasses.slice(0, MOST).map(banner),
            more.length ? h("details.banner-more", null, h("summary", null, format(ngettext("$0 more guest without hooks", "$0 more guests without hooks", more.length), more.length)), more.map(banner)) : null);
}

export function endBypass(bypass) {
    const words = ["bypass", "off"];
    const others = (host.known() || { bypasses: [] }).bypasses.filter(other => other.object !== bypass.object);
    const whole = others.some(other => other.object === null);
    if (bypass.object !== null)
        words.push(`--guest=${bypass.object}`);
    dialog({
        title: bypass.object === null ? _("Run hooks again?") : format(_("Run the hooks of $0 again?"), bypass.object),
        body: [
            whole
                ? h("p", { "data-test": "bypass-others" }, _("Its own entry ends. No hook runs yet: hooks are switched off for the whole host, too."))
                : h("p", null, _("From now on libvirt's calls run the hooks again. What hooks would have done in the meantime isn't made up for.")),
            bypass.object === null && others.length
                ? h("p", { "data-test": "bypass-others" }, format(_("That ends all entries, also those of: $0"), others.map(other => oneLine(other.object)).join(", ")))
                : null,
        ],
        actions: [{
            text: _("Run hooks again"),
            run: async () => {
                await json(words);
                await host.refresh();
                announce(whole ? _("Hooks stay switched off for the whole host") : _("Hooks run again"));
            },
        }],
    });
}

export function beginBypass() {
    const time = select(TIMES, "1h", { "data-test": "bypass-for" });
    const choices = guestChoices("bypass-guests");
    const guest = input({ "data-test": "bypass-guest", ...choices.properties, placeholder: _("all guests and networks") });
    const reason = input({ "data-test": "bypass-reason", placeholder: _("for example a ticket") });
    let warned = null;
    const asked = dialog({
        title: _("Switch hooks off?"),
        sign: "warning",
        colour: "warning",
        body: [
            h("p", null, _("While hooks are switched off, no hook runs, and each of libvirt's calls succeeds: guests start without what hooks set up for them. Each such call is recorded.")),
            h("form.pf-v6-c-form", { onsubmit: event => event.preventDefault() },
              field(_("How long"), time),
              field(_("Guest or network"), guest, _("Empty: for all")),
              choices.list,
              field(_("Reason"), reason, _("Shown to everybody while it is on"))),
        ],
        actions: [{
            text: _("Switch off"),
            kind: "danger",
            run: async () => {
                const words = ["bypass", "on", time.control.value === "boot" ? "--this-boot" : `--for=${time.control.value}`, "--yes"];
                const typed = guest.control.value;
                const known = typed ? await knownGuests() : [];
                const name = known.includes(typed) ? typed : typed.trim();
                // a slip of the pen would switch off nothing; a guest that isn't defined yet may be meant
                if (name && !known.includes(name) && warned !== name) {
                    warned = name;
                    asked.fail(new HookmuxError(format(_("This host knows no guest or network $0. Press the button once more if it is meant."), oneLine(name))));
                    return false;
                }
                if (name)
                    words.push(`--guest=${name}`);
                if (reason.control.value)
                    words.push(`--reason=${reason.control.value}`);
                await json(words);
                await host.refresh();
                announce(_("Hooks are switched off"));
                return true;
            },
        }],
    });
}
