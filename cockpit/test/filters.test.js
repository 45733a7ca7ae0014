import assert from "node:assert/strict";
import { test } from "node:test";
import * as filters from "../src/filters.js";

const words = more => {
    const { options, last } = filters.words({ ...filters.NONE, ...more });
    return [...options, ...last];
};

test("each filter is one word with its option", () => {
    assert.deepEqual(words({}), []);
    assert.deepEqual(words({ guest: "--help" }), ["--guest=--help"]);
    assert.deepEqual(words({ guest: " web* " }), ["--guest=web*"]);
    assert.deepEqual(words({ guest: "91126ceb-8184-4a0b-b79f-0f3d17ecc836" }), ["--guest=91126ceb-8184-4a0b-b79f-0f3d17ecc836"]);
    assert.deepEqual(words({ only: "failed", since: "24h", driver: "lxc" }), ["--driver=lxc", "--failed", "--since=24h"]);
});

test("a part of a guest's name finds it", () => {
    const names = ["web", "web1", "web2", "Mail", "--help", " x "];
    for (const [text, word] of [["web", "web"], ["we", "*we*"], ["web2", "web2"], ["mai", "Mail"], ["help", "--help"], ["nosuch", "nosuch"], ["w?b", "w?b"], [" x ", " x "]])
        assert.deepEqual(filters.words({ ...filters.NONE, guest: text }, names).options, [`--guest=${word}`], text);
});

test("events, operations and calls", () => {
    assert.deepEqual(words({ what: "started" }), ["--operation=started"]);
    assert.deepEqual(words({ what: "port-created" }), ["--operation=port-created"]);
    assert.deepEqual(words({ what: "qemu/started", driver: "lxc" }), ["--driver=qemu", "--operation=started"]);
    assert.deepEqual(words({ what: "qemu started" }), ["--driver=qemu", "--operation=started"]);
    assert.deepEqual(words({ what: "after_vm_" }), ["--", "after_vm_"]);
    assert.deepEqual(words({ what: "--output=text" }), ["--", "--output=text"]);
    assert.deepEqual(words({ what: "*_network_*" }), ["--", "*_network_*"]);
});

test("times between two are those of this browser", () => {
    const [from, until] = ["2026-11-30T10:00", "2026-11-30T11:30"];
    assert.deepEqual(words({ since: "between", from, until }), [`--since=${new Date(from).toISOString()}`, `--until=${new Date(until).toISOString()}`]);
    assert.deepEqual(words({ since: "between", from: "nonsense" }), []);
    assert.equal(filters.isOpen({ ...filters.NONE, since: "between", until }, Date.parse(until) + 1), false);
    assert.equal(filters.isOpen({ ...filters.NONE, since: "between", until }, Date.parse(until) - 60000), true);
    assert.equal(filters.isOpen(filters.NONE), true);
});

test("addresses are read without trust, and have only what is set", () => {
    assert.deepEqual(filters.read({ guest: ["a", "b"], only: "nonsense", driver: "--x", since: "1h" }), { ...filters.NONE, since: "1h" });
    assert.deepEqual(filters.write(filters.NONE), {});
    assert.deepEqual(filters.write({ ...filters.NONE, guest: "a", from: "x" }), { guest: "a" });
    assert.equal(filters.isSet(filters.NONE), false);
    for (const some of [{ guest: "a b&c" }, { only: "lost" }, { since: "between", from: "2026-11-30T10:00" }])
        assert.deepEqual(filters.write(filters.read(some)), some);
});
