// A list of executions that stays as new as the host: `watch` first, then `log`, both with the same filters, each execution once.
import { setHostTime } from "./clock.js";
import * as filters from "./filters.js";
import { json, lines } from "./hookmux.js";
import { Rows } from "./merge.js";

const cockpit = globalThis.cockpit;
const PAGE = 50;
const SPARE = 200;
const MOST = 2000;          // rows that are kept while new ones come
const SHORTEST = 1000;      // the first pause before a lost connection is tried again; doubled up to
const LONGEST = 30000;

export class Feed {
    // `on` has: rows(ids of what changed, "all", "live", "dropped" (live, and the oldest have gone) or "older": where they come from), failed(error), live(state).
    // `names`: the guests that are known, so that a part of a name finds it.
    constructor(wanted, on, { page = PAGE, names = [] } = {}) {
        this.words = filters.words(wanted, names);
        this.isOpen = () => filters.isOpen(wanted);
        this.on = on;
        this.page = page;
        this.rows = new Rows();
        this.next = null;           // the id that `log --before` takes for older ones
        this.loaded = false;
        this.pause = SHORTEST;
        this.closed = false;
        this.turn = 0;              // what belongs to an earlier turn is thrown away
        this.running = new AbortController();
        this.seen = () => this.visibility();
        cockpit.addEventListener("visibilitychange", this.seen);
        if (cockpit.hidden)
            this.on.live("paused");
        else
            this.connect();
    }

    close() {
        this.closed = true;
        this.disconnect();
        cockpit.removeEventListener("visibilitychange", this.seen);
    }

    again() {
        this.disconnect();
        this.pause = SHORTEST;
        this.connect();
    }

    visibility() {
        if (cockpit.hidden) {
            this.disconnect();
            this.on.live("paused");
        } else if (!this.stop) {
            this.again();
        }
    }

    disconnect() {
        this.turn++;
        this.running.abort();
        this.running = new AbortController();
        clearTimeout(this.timer);
        if (this.stop)
            this.stop();
        this.stop = null;
    }

    command(name, ...more) {
        return [name, ...more, ...this.words.options, ...this.words.last];
    }

    connect() {
        const turn = ++this.turn;
        const current = run => value => !this.closed && turn === this.turn && run(value);
        const open = this.isOpen();
        this.on.live(open ? "connecting" : "off");
        if (!open) {
            this.fetch(current, null);
            return;
        }
        // Rows come at once. `watch` says when it has begun; what ended between the two answers is in a second one of `log`.
        this.fetch(current, null);
        const early = [];
        let complete = false;
        this.stop = lines(this.watchWords(), current(objects => {
            if (objects[0].kind === "ready") {
                setHostTime(objects.shift().at);
                this.fetch(current, () => {
                    complete = true;
                    this.pause = SHORTEST;
                    this.on.live("live");
                    this.told(early.splice(0));
                });
            }
            if (complete)
                this.told(objects);
            else
                early.push(...objects);
        }), current(error => {
            this.stop = null;
            if (!this.loaded && error && error.code === "usage") {
                this.turn++;
                this.on.live("off");
                this.on.failed(error);
                return;
            }
            this.on.live("connecting");
            this.timer = setTimeout(() => this.connect(), this.pause);
            this.pause = Math.min(this.pause * 2, LONGEST);
        }));
    }

    // The end of a time span holds for `log` alone: what is watched began later than its beginning.
    watchWords() {
        const options = this.words.options.filter(word => !word.startsWith("--since="));
        return ["watch", "--ready", ...options, ...this.words.last];
    }

    told(objects) {
        if (!objects.length)
            return;
        const changed = this.rows.put(objects);
        // What was let go is fetched again by "older".
        if (this.rows.size > MOST) {
            // many at once, so that not each new one costs a drawing of all
            this.rows.keep(MOST - SPARE);
            const kept = this.rows.sorted();
            this.next = kept[kept.length - 1].id;
            this.on.rows(changed, "dropped");
            return;
        }
        if (changed.length)
            this.on.rows(changed, "live");
    }

    fetch(current, then) {
        const number = Math.min(Math.max(this.page, this.rows.size), 500);
        json(this.command("log", "-n", String(number)), this.running.signal).then(current(answer => {
            // After a pause: rows that are older than what was fetched now stay only if nothing lies between.
            if (this.loaded && answer.executions.length && !answer.executions.some(execution => this.rows.get(execution.id)))
                this.rows = new Rows();
            if (this.rows.size === 0)
                this.next = answer.next;
            const first = !this.loaded;
            this.loaded = true;
            const changed = this.rows.put(answer.executions);
            if (first || changed.length)
                this.on.rows(changed, "all");
            if (then)
                then();
        }), current(error => {
            this.disconnect();
            this.on.live("off");
            this.on.failed(error);
        }));
    }

    // The next page of older ones.
    older() {
        const turn = this.turn;
        const before = `--before=${this.next}`;
        return json(this.command("log", "-n", String(this.page), before), this.running.signal).then(answer => {
            if (this.closed || turn !== this.turn)
                return;
            this.next = answer.next;
            this.on.rows(this.rows.put(answer.executions), "older");
        });
    }
}
