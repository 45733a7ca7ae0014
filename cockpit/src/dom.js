// Elements. Names and output come from guests and hooks: text becomes text nodes, and nothing here reads markup.
import { visible } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
    for (const [name, value] of Object.entries(properties || {})) {
        if (value === null || value === undefined || value === false)
            continue;
        if (name.startsWith("on"))
            element.addEventListener(name.slice(2), value);
        else if (name === "class")
            element.classList.add(...value.split(" ").filter(Boolean));
        else if (name === "style")
            for (const [property, setting] of Object.entries(value))
                element.style.setProperty(property, setting);
        else
            element.setAttribute(name, value === true ? "" : visible(String(value), false));
    }
    append(element, children);
    return element;
}

// Appends elements and texts; leaves out what isn't there.
export function append(element, children) {
    for (const child of [children].flat(Infinity)) {
        if (child === null || child === undefined || child === false)
            continue;
        element.append(child instanceof Node ? child : visible(String(child)));
    }
    return element;
}

// `h("div.one.two", { class: "three", title: "x" }, children…)`
export function h(name, properties, ...children) {
    const [tag, ...classes] = name.split(".");
    const element = document.createElement(tag || "div");
    if (classes.length)
        element.className = classes.join(" ");
    return fill(element, properties, children);
}

export function svg(tag, properties, ...children) {
    return fill(document.createElementNS(SVG, tag), properties, children);
}

export function replace(element, ...children) {
    element.replaceChildren();
    return append(element, children);
}

// A sentence of hookmux': what stands between two backticks is code.
export function prose(text) {
    const parts = text.split("`");
    if (parts.length % 2 === 0)
        return [text];
    return parts.map((part, place) => place % 2 ? h("code", null, part) : part);
}
