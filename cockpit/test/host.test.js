import assert from "node:assert/strict";
import { test } from "node:test";

const asked = [];
globalThis.cockpit = {
    gettext: text => text,
    format: (text, ...values) => values.reduce((all, value, place) => all.replaceAll(`$${place}`, value), text),
    file: () => ({ watch: () => {}, close: () => {} }),
    spawn: () => {
        const promise = new Promise(resolve => asked.push(answer => resolve(JSON.stringify(answer))));
        return promise;
    },
};

const host = await import("../src/host.js");
const status = number => ({ format: 1, hooks_dir: "/h", bypasses: [], number });
const turn = () => new Promise(resolve => setImmediate(resolve));

test("whoever asks while an answer is under way gets one from after that", async () => {
    const first = host.refresh();
    const second = host.refresh();
    const third = host.refresh();
    assert.equal(asked.length, 1);
    asked[0](status(1));
    assert.equal((await first).number, 1);
    await turn();
    assert.equal(asked.length, 2);
    asked[1](status(2));
    assert.equal((await second).number, 2);
    assert.equal((await third).number, 2);
    assert.equal(host.known().number, 2);
});

test("an entry of the emergency switch that ends by its time is asked for again", async context => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const answer = host.refresh();
    asked[2]({ ...status(3), bypasses: [{ object: null, until: new Date(Date.now() + 60000).toISOString() }] });
    await answer;
    context.mock.timers.tick(50000);
    assert.equal(asked.length, 3);
    context.mock.timers.tick(20000);
    assert.equal(asked.length, 4);
});
