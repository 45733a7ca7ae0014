import assert from "node:assert/strict";
import { test } from "node:test";
import { diff, hunks } from "../src/diff.js";

const text = lines => lines.map(line => `${line}\n`).join("");
const undone = (lines, sign) => text(lines.filter(line => line[0] === " " || line[0] === sign).map(line => line[1]));

test("a line that was changed", () => {
    assert.deepEqual(diff("a\nb\nc\n", "a\nB\nc\n"), [[" ", "a"], ["-", "b"], ["+", "B"], [" ", "c"]]);
});

test("nothing changed, all new, all gone", () => {
    assert.deepEqual(diff("a\n", "a\n"), [[" ", "a"]]);
    assert.deepEqual(diff("", "a\n"), [["+", "a"]]);
    assert.deepEqual(diff("a\n", ""), [["-", "a"]]);
    assert.deepEqual(diff("", ""), []);
});

test("both documents can be had back from it", () => {
    let seed = 7;
    const random = limit => (seed = (seed * 1103515245 + 12345) % 2147483648) % limit;
    for (let turn = 0; turn < 200; turn++) {
        const make = () => text(Array.from({ length: random(12) }, () => "abc"[random(3)]));
        const [before, after] = [make(), make()];
        const lines = diff(before, after);
        assert.equal(undone(lines, "-"), before);
        assert.equal(undone(lines, "+"), after);
    }
});

test("what is too large isn't compared", () => {
    const lines = letter => text(Array.from({ length: 2500 }, (_unused, place) => letter + place));
    assert.equal(diff(lines("a"), lines("b")), null);
    // Where only a few lines differ, the size of the document doesn't matter.
    assert.equal(diff(lines("a"), lines("a").replace("a1200\n", "b\n")).filter(line => line[0] !== " ").length, 2);
});

test("only what changed and the lines around it are shown", () => {
    const lines = diff(text("abcdefghij".split("")), text("abcdeXghij".split("")));
    const { groups, rest } = hunks(lines, 1);
    assert.deepEqual(groups, [{ skipped: 4, lines: [[" ", "e"], ["-", "f"], ["+", "X"], [" ", "g"]] }]);
    assert.equal(rest, 3);
});
