import assert from "node:assert/strict";
import { test } from "node:test";
import { fold } from "../src/fold.js";
import { quote } from "../src/quote.js";
import { format, ngettext } from "../src/text.js";
import { visible } from "../src/visible.js";

test("escapes and signs that change the direction are shown", () => {
    assert.equal(visible("\u001b[31mred\u001b[0m"), "\\x1b[31mred\\x1b[0m");
    assert.equal(visible("a\u202eb\u2066c\u200bd\ufeff"), "a\\u202eb\\u2066c\\u200bd\\ufeff");
    assert.equal(visible("a\r\nb\tc\u0000\u0007"), "a\\r\nb\tc\\x00\\x07");
    assert.equal(visible("a\nb\tc", false), "a\\nb\\tc");
    assert.equal(visible("<b>&amp;</b> äöü 日本 🙂"), "<b>&amp;</b> äöü 日本 🙂");
});

test("long output is folded, and short output isn't", () => {
    const lines = number => Array.from({ length: number }, (_unused, place) => `line ${place}`);
    assert.deepEqual(fold(`${lines(9).join("\n")}\n`), { head: lines(9), hidden: 0, tail: [], whole: true });
    assert.deepEqual(fold(lines(20).join("\n")), { head: lines(3), hidden: 12, tail: lines(20).slice(-5), whole: false });
    const wide = fold("x".repeat(1000));
    assert.equal(wide.head[0].length, 402);
    assert.equal(wide.whole, false);
});

test("commands are quoted for a shell", () => {
    assert.equal(quote(["hookmux", "enable", "gpu"]), "hookmux enable gpu");
    assert.equal(quote(["a", "", "b c", "it's", "$(reboot)", "x;y"]), "a '' 'b c' 'it'\\''s' '$(reboot)' 'x;y'");
});

test("values are put in once, whatever is in them", () => {
    assert.equal(format("$0 and $1", "$1", "b"), "$1 and b");
    assert.equal(format("$0 of $9", 1), "1 of $9");
    assert.equal(ngettext("one", "many", 1), "one");
    assert.equal(ngettext("one", "many", 0), "many");
});
