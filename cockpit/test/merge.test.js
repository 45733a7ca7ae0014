import assert from "node:assert/strict";
import { test } from "node:test";
import { Rows } from "../src/merge.js";

const execution = (id, state = "good", more = {}) => ({ id, state, mended_by: null, detached: null, duration_s: 1, runs: [], running: [], ...more });

test("each execution is there once, the newest first", () => {
    const rows = new Rows();
    assert.deepEqual(rows.put([execution("01B"), execution("01A")]), ["01B", "01A"]);
    assert.deepEqual(rows.put([execution("01C"), execution("01B")]), ["01C"]);
    assert.deepEqual(rows.sorted().map(row => row.id), ["01C", "01B", "01A"]);
});

test("what is over doesn't run again, whichever answer comes first", () => {
    const rows = new Rows();
    rows.put([execution("01A", "running")]);
    assert.deepEqual(rows.put([execution("01A", "failed")]), ["01A"]);
    assert.deepEqual(rows.put([execution("01A", "running")]), []);
    assert.equal(rows.get("01A").state, "failed");
});

test("a failure after which a later run was good changes", () => {
    const rows = new Rows();
    rows.put([execution("01A", "failed")]);
    assert.deepEqual(rows.put([execution("01A", "failed", { mended_by: "01B" })]), ["01A"]);
});

test("a new last line of a running hook is a change", () => {
    const rows = new Rows();
    const at = line => execution("01A", "running", { running: [{ hook: "e/h", last_line: line }] });
    rows.put([at("one")]);
    assert.deepEqual(rows.put([at("one")]), []);
    assert.deepEqual(rows.put([at("two")]), ["01A"]);
});

test("old ones go, but not those that run", () => {
    const rows = new Rows();
    rows.put([execution("01A", "running"), execution("01B"), execution("01C"), execution("01D")]);
    assert.equal(rows.keep(2), 1);
    assert.deepEqual(rows.sorted().map(row => row.id), ["01D", "01C", "01A"]);
});
