import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogue, entries } from "../po/catalogue.mjs";

const PO = String.raw`# German
msgid ""
msgstr ""
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

msgid "Calls"
msgstr "Aufrufe"

#, fuzzy
msgid "Guests"
msgstr "Gast"

msgctxt "tab"
msgid "Check"
msgstr ""
"Prü"
"fen"

msgid "$0 call"
msgid_plural "$0 calls"
msgstr[0] "$0 Aufruf"
msgstr[1] "$0 Aufrufe"

msgid "not translated"
msgstr ""
`;

test("a catalogue becomes a script for cockpit.locale", () => {
    let told = null;
    new Function("cockpit", catalogue(PO, "de"))({ locale: object => { told = object } });
    assert.equal(told[""].language, "de");
    assert.equal(Number(told[""]["plural-forms"](1)), 0);
    assert.equal(Number(told[""]["plural-forms"](2)), 1);
    delete told[""];
    assert.deepEqual(told, { Calls: [null, "Aufrufe"], "tab\u0004Check": [null, "Prüfen"], "$0 call": [null, "$0 Aufruf", "$0 Aufrufe"] });
});

test("a plural rule can't be a program", () => {
    assert.throws(() => catalogue('msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=alert(1);\\n"\n', "xx"), /plural rule/);
    assert.equal(entries("").length, 0);
});
