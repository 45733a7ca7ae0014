// Control characters, and characters that change the direction of a line, are shown as what they are: `\x1b`, `\u202e`.
// So output can't hide a part of itself, and a name can't look like another one.

// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

function escaped(character) {
    const code = character.codePointAt(0);
    if (character === "\r")
        return "\\r";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

// `lines`: line breaks and tabs stay as they are, as in output; else they are escaped too.
export function visible(text, lines = true) {
    const shown = text.replace(HIDDEN, escaped);
    return lines ? shown : shown.replace(/\n/g, "\\n").replace(/\t/g, "\\t");
}

// A name of a guest, a network or a hook: it is one line, whatever is in it.
export const oneLine = text => visible(text, false);
