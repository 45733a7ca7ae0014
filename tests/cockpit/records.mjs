// Many records, quickly: copies of one that hookmux has made, each under an id and with a time of its own, written
// where the mover puts them. A hundred thousand calls would take an hour.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const digits = (value, count) => {
    let text = "";
    for (let place = 0; place < count; place++) {
        text = DIGITS[Number(value % 32n)] + text;
        value /= 32n;
    }
    return text;
};

// `count` records, one each `every` milliseconds, the newest an hour ago. `template` is the id of a stored one.
export function write(host, template, count, every) {
    const records = host.path("state/records");
    const [head, body] = readFileSync(join(records, template.slice(0, 6), template), "utf8").split("\n");
    const first = JSON.parse(head);
    const newest = Date.now() - 3_600_000;
    const made = new Set();
    for (let number = 0; number < count; number++) {
        const at = newest - number * every;
        const id = digits(BigInt(at), 10) + digits(BigInt(number), 16);
        const failed = number % 50 === 0;
        const record = { ...first, id, began_us: at * 1000, object: `guest${number % 400}` };
        if (failed)
            Object.assign(record, { outcome: "failure", status: 3, failure: "before_vm_start/10-x: exit status 3" });
        const group = join(records, id.slice(0, 6));
        if (!made.has(group)) {
            mkdirSync(group, { recursive: true, mode: 0o700 });
            made.add(group);
        }
        writeFileSync(join(group, id), `${JSON.stringify(record)}\n${body}\n`, { mode: 0o600 });
    }
}
