import assert from "node:assert/strict";
import { test } from "node:test";
import { elapsed, layout, marks, step } from "../src/timeline.js";

const run = (hook, start, seconds, more = {}) => ({ hook, device: null, state: "good", start_s: start, duration_s: seconds, limit_s: null, timed_out: false, ...more });

test("marks are round, and not too many", () => {
    for (const [seconds, size] of [[0.0007, 0.0002], [0.1, 0.02], [1, 0.2], [1.6, 0.5], [9, 2], [0, 1]])
        assert.ok(Math.abs(step(seconds) - size) < 1e-12, `${seconds}: ${step(seconds)}`);
    assert.deepEqual(marks(0.5), [0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    assert.deepEqual(marks(100), [0, 30, 60, 90]);
    assert.deepEqual(marks(600), [0, 120, 240, 360, 480, 600]);
    for (const seconds of [0.003, 0.2, 3, 45, 70, 3000, 90000])
        assert.ok(marks(seconds).length <= 7, `${seconds}: ${marks(seconds)}`);
});

test("bars are to scale", () => {
    const { total, rows } = layout({ duration_s: 2, runs: [run("a", 0, 0.5), run("b", 0.5, 1)], waits: [] });
    assert.equal(total, 2);
    assert.deepEqual(rows.map(row => row.bar), [{ left: 0, width: 25 }, { left: 25, width: 50 }]);
});

test("a detached hook has no bar, and an undo behind the answer has room", () => {
    const { total, rows } = layout({ duration_s: 1, runs: [run("a", null, null, { state: "queued" }), run("b", 1, 3)], waits: [] });
    assert.equal(total, 4);
    assert.equal(rows[0].bar, null);
    assert.deepEqual(rows[1].bar, { left: 25, width: 75 });
});

test("waits belong to the hook that waited, and others to the call", () => {
    const waits = [
        { hook: "a", device: null, reason: "lock x", start_s: 0, duration_s: 1 },
        { hook: null, device: null, reason: "an undo", start_s: 0, duration_s: 0.5 },
        { hook: "gone", device: null, reason: "lock y", start_s: 1, duration_s: 0.5 },
    ];
    const { rows, own } = layout({ duration_s: 4, runs: [run("a", 1, 1), run("a", 2, 1)], waits });
    assert.deepEqual(rows[0].waits, [{ left: 0, width: 25, reason: "lock x", seconds: 1 }]);
    assert.deepEqual(rows[1].waits, []);
    assert.deepEqual(own.map(wait => [wait.hook, wait.reason]), [[null, "an undo"], ["gone", "lock y"]]);
});

test("a limit is shown where it mattered", () => {
    const at = (seconds, limit, timedOut = false) => layout({ duration_s: 10, runs: [run("a", 0, seconds, { limit_s: limit, timed_out: timedOut })], waits: [] }).rows[0].limit;
    assert.equal(at(1, 5), null);
    assert.equal(at(4, 5), 50);
    assert.equal(at(5, 5, true), 50);
    assert.equal(at(10, 120), null);
});

test("what runs grows until now", () => {
    const { total, rows } = layout({ duration_s: null, runs: [run("a", 0, 1), run("b", 1, null, { state: "running" })], waits: [] }, 4);
    assert.equal(total, 4);
    assert.deepEqual(rows[1].bar, { left: 25, width: 75 });
});

test("a call without any time", () => {
    assert.equal(layout({ duration_s: 0, runs: [], waits: [] }).total, 0.001);
});

test("for how long a call has been running", () => {
    const runs = [run("a", 0, 1), run("b", 1, null, { state: "running" }), run("c", null, null)];
    assert.equal(elapsed({ runs, running: [{ hook: "b", device: null, running_s: 4 }] }), 5);
    assert.equal(elapsed({ runs, running: [{ hook: "b (check)", device: null, running_s: 0.5 }] }), 1);
    assert.equal(elapsed({ runs: [], running: [] }), 0);
});
