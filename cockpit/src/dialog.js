// A dialog: it keeps the focus while it is open, Escape closes it, and the focus goes back to where it was.
import { append, h, replace } from "./dom.js";
import { failure } from "./failure.js";
import { button, newId } from "./pf.js";
import { icon } from "./icons.js";
import { _ } from "./text.js";

const FOCUSABLE = "a[href], button:not([disabled]), input:not([disabled]), select:not([disabled]), textarea:not([disabled]), [tabindex='0']";

let open = null;

// Closes the dialog that is open, if any.
export function closeDialog() {
    if (open)
        open(true);
}

// `actions`: [{ text, kind, run, test, sign }]; `run` may return a promise: meanwhile the buttons are off. When it is kept, the dialog closes, unless
// `run` returned false; when it fails, the dialog shows why and stays.
export function dialog({ title, body, actions = [], sign, colour, cancel = _("Cancel"), wide = false, onclose, test = "dialog" }) {
    closeDialog();
    const before = document.activeElement;
    const heading = newId("dialog");
    const errors = h("div.dialog-errors", { "data-test": "dialog-error", hidden: true });
    const content = h("div.dialog-body", null, body);
    const footer = h("footer.pf-v6-c-modal-box__footer");
    const box = h("div.pf-v6-c-modal-box", {
        class: [wide ? "pf-m-md" : "pf-m-sm", colour ? `pf-m-${colour}` : ""].join(" "),
        role: "dialog", "aria-modal": "true", "aria-labelledby": heading, tabindex: "-1", "data-test": test,
    },
    h("div.pf-v6-c-modal-box__close", null, button("", "plain", () => close(false), { "aria-label": _("Close"), sign: "close" })),
    h("header.pf-v6-c-modal-box__header", null,
      h("h1.pf-v6-c-modal-box__title", { id: heading, class: sign ? "pf-m-icon" : "" },
        sign && h("span.pf-v6-c-modal-box__title-icon", null, icon(sign)),
        h("span.pf-v6-c-modal-box__title-text", null, title))),
    h("div.pf-v6-c-modal-box__body", null, errors, content),
    footer);
    let busy = false;
    const backdrop = h("div.pf-v6-c-backdrop", { onmousedown: event => event.target === backdrop && close(false) }, h("div.dialog-place", null, box));

    // `leave` closes it although an action is under way: another dialog comes, or the view goes.
    function close(leave) {
        if (open !== close || (busy && leave !== true))
            return;
        open = null;
        document.removeEventListener("keydown", key, true);
        backdrop.remove();
        document.getElementById("app").inert = false;
        document.documentElement.classList.remove("has-dialog");
        if (before && before.isConnected)
            before.focus();
        else
            document.getElementById("view").focus({ preventScroll: true });
        if (onclose)
            onclose();
    }

    function key(event) {
        if (event.key === "Escape") {
            event.preventDefault();
            event.stopPropagation();
            close(false);
        } else if (event.key === "Tab") {
            const all = [...box.querySelectorAll(FOCUSABLE)].filter(element => element.offsetParent !== null);
            const [first, last] = [all[0], all[all.length - 1]];
            const inside = box.contains(document.activeElement) && document.activeElement !== box;
            if (event.shiftKey && (!inside || document.activeElement === first)) {
                event.preventDefault();
                last.focus();
            } else if (!event.shiftKey && (!inside || document.activeElement === last)) {
                event.preventDefault();
                first.focus();
            }
        }
    }

    const fail = error => {
        errors.hidden = false;
        replace(errors, failure(error));
    };

    async function act(action, element) {
        const buttons = [...footer.querySelectorAll("button")];
        errors.hidden = true;
        buttons.forEach(one => { one.disabled = true });
        element.classList.add("pf-m-in-progress");
        busy = true;
        try {
            if (await action.run() !== false)
                close(true);
        } catch (error) {
            fail(error);
        }
        busy = false;
        element.classList.remove("pf-m-in-progress");
        buttons.forEach(one => { one.disabled = false });
        if (open === close && !box.contains(document.activeElement))
            box.focus();
    }

    const setActions = list => replace(footer,
                                       list.map(action => button(action.text, action.kind || "primary", event => act(action, event.currentTarget), { "data-test": action.test || "dialog-confirm" })),
                                       button(list.length ? cancel : _("Close"), list.length ? "link" : "secondary", () => close(false), { "data-test": "dialog-cancel" }));
    setActions(actions);

    open = close;
    append(document.body, backdrop);
    document.getElementById("app").inert = true;
    document.documentElement.classList.add("has-dialog");
    document.addEventListener("keydown", key, true);
    const focus = () => (content.querySelector("[autofocus]") || content.querySelector(FOCUSABLE) || footer.querySelector("button:not(.pf-m-danger)") || box).focus();
    focus();
    return {
        close: () => close(true),
        isOpen: () => open === close,
        fail,
        // Other content, for a dialog with several steps.
        show(next, list) {
            errors.hidden = true;
            replace(content, next);
            setActions(list);
            focus();
        },
    };
}
