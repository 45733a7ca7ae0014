// A catalogue of gettext as the script that `cockpit.locale` reads.

// The entries of a .po file: context, id, plural id and translations.
export function entries(text) {
    const found = [];
    let entry = null;
    let key = null;
    for (const raw of text.split("\n")) {
        const line = raw.trim();
        if (line.startsWith("#,") && line.includes("fuzzy")) {
            entry = { fuzzy: true };
            key = null;
            continue;
        }
        if (line === "" || line.startsWith("#"))
            continue;
        const words = line.match(/^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+(".*")$/);
        const value = words ? words[2] : line;
        if (words) {
            key = words[1];
            if (key === "msgctxt" || (key === "msgid" && !(entry && entry.msgctxt !== undefined && entry.msgid === undefined)))
                found.push(entry = entry && entry.fuzzy && entry.msgid === undefined ? entry : {});
            entry[key] = "";
        }
        entry[key] += JSON.parse(value);
    }
    return found;
}

// Only these signs may be in the plural rule, which becomes a part of a script.
function rule(header) {
    const found = header.match(/plural=([^;\n]*)/);
    const words = found ? found[1].trim() : "n != 1";
    if (!/^[n0-9 ()!=<>&|?:%+-]*$/.test(words))
        throw new Error(`the plural rule can't be used: ${words}`);
    return words;
}

export function catalogue(text, language) {
    const all = entries(text);
    const header = (all.find(entry => entry.msgid === "") || { msgstr: "" }).msgstr;
    const lines = [`"":{"plural-forms":n=>${rule(header)},"language":${JSON.stringify(language)},"language-direction":"ltr"}`];
    for (const entry of all) {
        if (entry.msgid === "" || entry.fuzzy)
            continue;
        const id = entry.msgctxt === undefined ? entry.msgid : `${entry.msgctxt}\u0004${entry.msgid}`;
        const forms = Object.keys(entry).filter(key => key.startsWith("msgstr")).sort()
                .map(key => entry[key]);
        if (forms.every(form => form !== ""))
            lines.push(`${JSON.stringify(id)}:${JSON.stringify([null, ...forms])}`);
    }
    return `cockpit.locale({${lines.join(",\n")}});\n`;
}
