// PatternFly's components as far as the page uses them.
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { _ } from "./text.js";

let ids = 0;
export const newId = prefix => `${prefix}-${++ids}`;

export function button(text, kind, onclick, properties = {}) {
    const { sign, ...rest } = properties;
    const classes = kind.split(" ").map(word => `pf-m-${word}`).join(" ");
    return h("button.pf-v6-c-button", { type: "button", class: classes, onclick, ...rest },
             sign && h("span.pf-v6-c-button__icon.pf-m-start", null, icon(sign)),
             text && h("span.pf-v6-c-button__text", null, text));
}

// A link that looks like one in a text.
export function link(text, href, properties = {}) {
    return h("a.link", { href, ...properties }, text);
}

export function label(text, colour, sign, properties = {}) {
    return h("span.pf-v6-c-label.pf-m-compact", { class: `pf-m-${colour}`, ...properties },
             h("span.pf-v6-c-label__content", null,
               sign && h("span.pf-v6-c-label__icon", null, icon(sign)),
               h("span.pf-v6-c-label__text", null, text)));
}

export function cardWith({ actions, test, className, level = "h2", id }, title, ...body) {
    const heading = id || newId("card");
    return h("section.pf-v6-c-card", { class: className, "data-test": test, "aria-labelledby": title ? heading : null },
             title && h("div.pf-v6-c-card__header", null,
                        h("div.pf-v6-c-card__header-main", null,
                          h("div.pf-v6-c-card__title", null, h(`${level}.pf-v6-c-card__title-text`, { id: heading }, title))),
                        actions && h("div.pf-v6-c-card__actions.pf-m-no-offset", null, actions)),
             h("div.pf-v6-c-card__body", null, body));
}

const ALERTS = { danger: ["failed", "Danger"], warning: ["warning", "Warning"], info: ["note", "Info"], success: ["good", "Success"] };

export function alert(kind, title, { body, actions, test, ...properties } = {}) {
    return h("div.pf-v6-c-alert.pf-m-inline", { class: `pf-m-${kind}`, "data-test": test, ...properties },
             h("div.pf-v6-c-alert__icon", null, icon(ALERTS[kind][0])),
             h("div.pf-v6-c-alert__title", null, title),
             body && h("div.pf-v6-c-alert__description", null, body),
             actions && h("div.pf-v6-c-alert__action-group", null, actions));
}

export function emptyState(sign, title, { body, actions, test } = {}) {
    return h("div.pf-v6-c-empty-state", { "data-test": test },
             h("div.pf-v6-c-empty-state__content", null,
               h("div.pf-v6-c-empty-state__header", null,
                 h("div.pf-v6-c-empty-state__icon", null, icon(sign)),
                 h("div.pf-v6-c-empty-state__title", null, h("h2.pf-v6-c-empty-state__title-text", null, title))),
               body && h("div.pf-v6-c-empty-state__body", null, body),
               actions && h("div.pf-v6-c-empty-state__footer", null, h("div.pf-v6-c-empty-state__actions", null, actions))));
}

// Shown after a while only, so that what comes at once doesn't flicker.
export function loading(text) {
    return h("div.loading", { role: "status", "data-test": "loading" },
             h("span.spinner", { "aria-hidden": "true" }), h("span", null, text || _("Loading…")));
}

// Terms and descriptions ([term, description, whether it is long]); those without a description are left out.
export function facts(pairs, className) {
    return h("dl.pf-v6-c-description-list.facts", { class: className },
             pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
                     .map(([term, value, wide]) =>
                         h("div.pf-v6-c-description-list__group", { class: wide ? "is-wide" : null },
                           h("dt.pf-v6-c-description-list__term", null, h("span.pf-v6-c-description-list__text", null, term)),
                           h("dd.pf-v6-c-description-list__description", null, h("div.pf-v6-c-description-list__text", null, value)))));
}

// One of several: `choices` are [value, text]. `onchoose` gets the value.
export function toggles(name, choices, chosen, onchoose, test) {
    const buttons = new Map();
    const mark = value => {
        for (const [key, element] of buttons) {
            element.classList.toggle("pf-m-selected", key === value);
            element.setAttribute("aria-pressed", String(key === value));
        }
    };
    const group = h("div.pf-v6-c-toggle-group", { role: "group", "aria-label": name }, choices.map(([value, text]) => {
        const element = h("button.pf-v6-c-toggle-group__button", {
            type: "button",
            "data-test": test && `${test}-${value}`,
            onclick: () => { mark(value); onchoose(value) },
        }, h("span.pf-v6-c-toggle-group__text", null, text));
        buttons.set(value, element);
        return h("div.pf-v6-c-toggle-group__item", null, element);
    }));
    mark(chosen);
    return { element: group, mark };
}

export function input(properties) {
    const control = h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...properties });
    return { control, element: h("span.pf-v6-c-form-control", null, control) };
}

export function select(choices, chosen, properties) {
    const control = h("select", properties, choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
    const element = h("span.pf-v6-c-form-control", null, control,
                      h("span.pf-v6-c-form-control__utilities", null, h("span.pf-v6-c-form-control__toggle-icon", null, icon("down"))));
    return { control, element };
}

// A field of a form: its label, the control (which gets an id), and a line of help.
export function field(text, { control, element }, help) {
    control.id ||= newId("field");
    return h("div.pf-v6-c-form__group", null,
             h("div.pf-v6-c-form__group-label", null,
               h("label.pf-v6-c-form__label", { for: control.id }, h("span.pf-v6-c-form__label-text", null, text))),
             h("div.pf-v6-c-form__group-control", null, element,
               help && h("div.pf-v6-c-form__helper-text", null, h("div.pf-v6-c-helper-text", null,
                                                                   h("div.pf-v6-c-helper-text__item", null, h("span.pf-v6-c-helper-text__item-text", null, help))))));
}

export function table(name, columns, rows, properties = {}) {
    return h("table.pf-v6-c-table.pf-m-compact.pf-m-grid-md", { "aria-label": name, ...properties },
             h("thead.pf-v6-c-table__thead", null,
               h("tr.pf-v6-c-table__tr", null, columns.map(column => typeof column === "string"
                   ? h("th.pf-v6-c-table__th", { scope: "col" }, column)
                   : h("th.pf-v6-c-table__th", { scope: "col", class: column.className },
                       column.hidden ? h("span.for-readers", null, column.text) : column.text)))),
             rows);
}

// A cell has exactly one child: on a phone its name stands beside it.
export const cell = (name, ...content) => h("td.pf-v6-c-table__td", { "data-label": name }, h("div", null, content));

// A sentence that isn't a warning.
export const note = (...content) => h("p.note", null, icon("note"), h("span", null, content));
