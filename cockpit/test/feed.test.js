import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

// Cockpit as far as a feed uses it: commands are answered by the test.
class Cockpit extends EventTarget {
    hidden = false;
    commands = [];

    spawn(words) {
        const command = { words, closed: false };
        command.done = new Promise((resolve, reject) => { command.end = resolve; command.fail = (error, output) => reject(Object.assign([error], { error, output })) });
        const process = {
            stream: told => { command.print = object => told(typeof object === "string" ? object : `${JSON.stringify(object)}\n`); return process },
            close: () => { command.closed = true },
            then: (yes, no) => { command.done.then(yes, thrown => no(thrown.error, thrown.output)) },
        };
        this.commands.push(command);
        return process;
    }

    show(hidden) {
        this.hidden = hidden;
        this.dispatchEvent(new Event("visibilitychange"));
    }

    // The newest command of a name that isn't over.
    last(name) {
        return this.commands.filter(command => command.words[1] === name).pop();
    }
}

const cockpit = globalThis.cockpit = new Cockpit();
cockpit.gettext = text => text;
const { Feed } = await import("../src/feed.js");
const { NONE } = await import("../src/filters.js");

const execution = (id, state = "good") => ({ id, state, mended_by: null, detached: null, duration_s: 1, runs: [], running: [] });
const ready = { kind: "ready", at: new Date().toISOString() };
const settle = async () => {
    for (let turn = 0; turn < 10; turn++)
        await Promise.resolve();
};
const answer = async (command, executions, next = null) => {
    command.end(JSON.stringify({ format: 1, executions, next }));
    await settle();
};

let told;
function feed(wanted = NONE, options) {
    told = { rows: [], live: [], failed: [] };
    return new Feed(wanted, {
        rows: (ids, kind) => told.rows.push([kind, ...ids]),
        live: state => told.live.push(state),
        failed: error => told.failed.push(error.message),
    }, options);
}

const ids = list => list.rows.sorted().map(row => row.id);

beforeEach(() => {
    cockpit.commands = [];
    cockpit.hidden = false;
});

test("rows come at once, and nothing is missed between log and watch", async () => {
    const list = feed();
    assert.deepEqual(cockpit.commands.map(command => command.words[1]), ["log", "watch"]);
    const [log, watch] = cockpit.commands;
    await answer(log, [execution("02"), execution("01")]);
    assert.deepEqual(told.rows, [["all", "02", "01"]]);
    // 03 ended after the first answer, and before watch had begun; 04 while the second answer was on its way
    watch.print(ready);
    const second = cockpit.last("log");
    assert.notEqual(second, log);
    watch.print({ kind: "done", ...execution("04") });
    await answer(second, [execution("03"), execution("02"), execution("01")]);
    assert.deepEqual(ids(list), ["04", "03", "02", "01"]);
    assert.deepEqual(told.live, ["connecting", "live"]);
    watch.print({ kind: "begun", ...execution("05", "running") });
    watch.print({ kind: "done", ...execution("05", "failed") });
    assert.deepEqual(told.rows.slice(-2), [["live", "05"], ["live", "05"]]);
    assert.equal(list.rows.get("05").state, "failed");
    list.close();
    assert.equal(watch.closed, true);
});

test("a line that comes in pieces is one line", async () => {
    const list = feed();
    const watch = cockpit.last("watch");
    const line = JSON.stringify({ kind: "done", ...execution("01") });
    watch.print(`${JSON.stringify(ready)}\n${line.slice(0, 10)}`);
    watch.print(line.slice(10));
    watch.print("\n");
    await answer(cockpit.last("log"), []);
    assert.deepEqual(ids(list), ["01"]);
    list.close();
});

test("a connection that was lost is tried again, later each time, and its gap is closed", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const list = feed();
    cockpit.last("watch").print(ready);
    await answer(cockpit.last("log"), [execution("01")]);
    for (const pause of [1000, 2000, 4000]) {
        cockpit.last("watch").fail({ message: "killed", problem: "terminated" }, "");
        await settle();
        assert.equal(told.live.pop(), "connecting");
        const before = cockpit.commands.length;
        mock.timers.tick(pause - 1);
        assert.equal(cockpit.commands.length, before);
        mock.timers.tick(1);
        assert.ok(cockpit.commands.length > before, `after ${pause} ms`);
    }
    cockpit.last("watch").print(ready);
    await answer(cockpit.last("log"), [execution("02"), execution("01")]);
    assert.equal(told.live.pop(), "live");
    assert.deepEqual(ids(list), ["02", "01"]);
    mock.timers.reset();
    list.close();
});

test("after a long pause there is no hole in the list", async () => {
    const list = feed();
    cockpit.last("watch").print(ready);
    await answer(cockpit.last("log"), [execution("02"), execution("01")], null);
    cockpit.show(true);
    assert.equal(told.live.pop(), "paused");
    assert.equal(cockpit.last("watch").closed, true);
    cockpit.show(false);
    await answer(cockpit.last("log"), [execution("99"), execution("98")], "98");
    assert.deepEqual(ids(list), ["99", "98"]);
    assert.equal(list.next, "98");
    list.close();
});

test("nothing is asked while nobody looks", () => {
    cockpit.hidden = true;
    const list = feed();
    assert.deepEqual(cockpit.commands, []);
    assert.deepEqual(told.live, ["paused"]);
    cockpit.show(false);
    assert.equal(cockpit.commands.length, 2);
    list.close();
    cockpit.show(true);
    cockpit.show(false);
    assert.equal(cockpit.commands.length, 2);
});

test("words that make no sense are told once", async () => {
    const list = feed({ ...NONE, what: "no_such" });
    const error = JSON.stringify({ error: { message: "there is no event no_such", code: "usage", fix: null, fix_command: null } }, null, 2);
    cockpit.last("watch").print(`${error}\n`);
    cockpit.last("watch").fail({ message: "", exit_status: 2 }, "");
    await settle();
    cockpit.last("log").fail({ message: "", exit_status: 2 }, error);
    await settle();
    assert.deepEqual(told.failed, ["there is no event no_such"]);
    assert.equal(told.live.pop(), "off");
    list.close();
});

test("of a time that is past, nothing is watched", async () => {
    const list = feed({ ...NONE, since: "between", until: "2020-01-01T00:00" });
    assert.deepEqual(cockpit.commands.map(command => command.words[1]), ["log"]);
    assert.deepEqual(told.live, ["off"]);
    list.close();
});

test("older ones are asked for behind the oldest, and what nobody waits for is ended", async () => {
    const list = feed(NONE, { page: 2 });
    cockpit.last("watch").print(ready);
    await answer(cockpit.last("log"), [execution("04"), execution("03")], "03");
    const more = list.older();
    assert.ok(cockpit.last("log").words.includes("--before=03"));
    await answer(cockpit.last("log"), [execution("02"), execution("01")], null);
    await more;
    assert.deepEqual(told.rows.pop(), ["older", "02", "01"]);
    assert.deepEqual(ids(list), ["04", "03", "02", "01"]);
    list.next = "01";
    list.older();
    list.close();
    assert.equal(cockpit.last("log").closed, true);
});
