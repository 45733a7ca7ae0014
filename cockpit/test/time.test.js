import assert from "node:assert/strict";
import { test } from "node:test";
import { hostNow, setHostTime } from "../src/clock.js";
import { ago, clock, days, duration, when } from "../src/time.js";

test("durations have the unit that fits", () => {
    const table = [
        [null, ""], [0, "0 ms"], [0.0004, "0 ms"], [0.012, "12 ms"], [0.9994, "999 ms"], [0.9996, "1.0 s"], [1.24, "1.2 s"], [9.94, "9.9 s"], [9.96, "10 s"],
        [59.4, "59 s"], [59.6, "1 min"], [125, "2 min 5 s"], [3599.7, "1 h"], [3660, "1 h 1 min"], [86400, "1 d"], [86400 * 2 + 3600 * 4, "2 d 4 h"],
    ];
    for (const [seconds, words] of table)
        assert.equal(duration(seconds), words, `${seconds} s`);
});

test("a clock has hours only where there are some", () => {
    for (const [seconds, words] of [[-3, "0:00"], [3.9, "0:03"], [760, "12:40"], [3723, "1:02:03"]])
        assert.equal(clock(seconds), words);
});

test("other days have their date", () => {
    const now = new Date(2026, 10, 30, 0, 30, 0);
    assert.equal(days(new Date(2026, 10, 29, 23, 59), now), 1);
    assert.match(when(new Date(2026, 10, 30, 0, 10, 5).toISOString(), now), /^00:10:05$/);
    assert.match(when(new Date(2026, 10, 29, 23, 59, 5).toISOString(), now), /29.*23:59:05$/);
    assert.match(when(new Date(2025, 10, 29, 23, 59, 5).toISOString(), now), /2025.*23:59:05$/);
    assert.equal(when("never", now), "");
});

test("how long ago", () => {
    const now = new Date("2026-11-30T12:00:00Z");
    for (const [text, words] of [
        ["2026-11-30T11:59:30Z", "just now"], ["2026-11-30T12:00:30Z", "just now"], ["2026-11-30T11:59:00Z", "1 minute ago"], ["2026-11-30T10:00:00Z", "2 hours ago"],
        ["2026-11-27T12:00:00Z", "3 days ago"], ["x", ""],
    ])
        assert.equal(ago(text, now), words, text);
});

test("times are those of the host's clock", () => {
    setHostTime("2026-11-30T12:00:00Z");
    assert.equal(ago("2026-11-30T11:55:00Z"), "5 minutes ago");
    setHostTime("nonsense");
    assert.equal(ago("2026-11-30T11:55:00Z"), "5 minutes ago");
    setHostTime(new Date().toISOString());
    assert.ok(Math.abs(hostNow() - Date.now()) < 1000);
});
