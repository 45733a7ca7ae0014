import assert from "node:assert/strict";
import { test } from "node:test";
import { ceiling } from "../src/chart.js";
import { callsOf } from "../src/event-head.js";
import { groups, lanes } from "../src/lanes.js";
import { canFix } from "../src/fix.js";
import { callWords, look, result, resultLook, word } from "../src/words.js";

const call = (operation, ...hooks) => ({ driver: "qemu", object: "vm", operation, extra: "-", after_failure: false, would_fail: false, undos: [],
    steps: hooks.map(hook => ({ hook, event: hook.split("/")[0], device: null, state: "runs", reason: null })) });

test("a part whose calls were drawn before refers to them", () => {
    const start = [call("prepare", "a/1"), call("started", "b/1")];
    const end = [call("stopped", "c/1"), call("release")];
    const parts = [["start", start], ["shutdown", end], ["destroy", end], ["reboot", []], ["snapshot-revert", [...end, ...start]], ["odd", [call("stopped", "c/1"), call("x")]]]
            .map(([action, calls]) => ({ action, calls }));
    assert.deepEqual(lanes(parts).map(part => part.as), [null, null, ["shutdown"], null, ["shutdown", "start"], null]);
});

test("hooks of an event stand together, in their order", () => {
    assert.deepEqual(groups(call("prepare", "a/1", "a/2", "b/1", "a/3")).map(group => [group.event, group.steps.length]), [["a", 2], ["b", 1], ["a", 1]]);
});

test("only hookmux' own commands are run from the page", () => {
    for (const [words, can] of [
        [["hookmux", "install"], true], [["hookmux", "--hooks-dir", "/x", "enable", "gpu"], true], [["hookmux", "bypass", "off", "--guest=--help"], true],
        [["hookmux", "--hooks-dir", "enable", "edit", "gpu"], false], [["hookmux", "edit", "gpu"], false], [["hookmux", "queue", "--requeue", "ID1"], true], [["hookmux", "queue"], false],
        [["hookmux", "queue", "--work"], false], [["hookmux", "undo", "--guest", "vm"], false], [["hookmux", "log", "--lost"], false],
        [["hookmux", "enable", "NAME"], false], [["chmod", "a+x", "/x"], false], [["sudo", "hookmux", "install"], false], [["sh", "-c", "hookmux install"], false], [null, false], ["hookmux install", false],
    ])
        assert.equal(canFix(words), can, JSON.stringify(words));
});

test("a word that this page doesn't know is shown as it is, and looks like nothing known", () => {
    assert.equal(word("melted"), "melted");
    assert.deepEqual(look("melted"), { name: "unknown", colour: "grey", sign: "note" });
});

test("what libvirt wasn't told is less than what it was told", () => {
    const failed = { state: "failed", timed_out: false, cause: "libvirt", status: 3, mended_by: null };
    assert.equal(result(failed), "failed (3)");
    assert.equal(resultLook(failed).colour, "red");
    assert.equal(result({ ...failed, status: 0 }), "failed, libvirt not told");
    assert.equal(resultLook({ ...failed, status: 0 }).colour, "orange");
    assert.equal(resultLook({ ...failed, mended_by: "x" }).colour, "grey");
    assert.equal(result({ ...failed, timed_out: true }), "failed: time limit");
});

test("a call in words", () => {
    assert.equal(callWords({ driver: "qemu", operation: "release", extra: "shutdown" }), "qemu release shutdown");
    assert.equal(callWords({ driver: "qemu", operation: "start", extra: "-" }), "qemu start");
});

test("the chart ends at a round number", () => {
    for (const [highest, top] of [[0, 4], [3, 4], [5, 5], [31, 50], [50, 50], [51, 100], [1200, 2000]])
        assert.equal(ceiling(highest), top);
});

test("the calls of an event, each operation once", () => {
    const calls = [{ drivers: ["qemu", "lxc"], operation: "prepare" }, { drivers: ["libxl"], operation: "prepare" }, { drivers: ["network"], operation: "started" }, { drivers: ["daemon"], operation: "start" }];
    assert.deepEqual(callsOf({ calls }), ["prepare", "network started", "daemon start"]);
});
