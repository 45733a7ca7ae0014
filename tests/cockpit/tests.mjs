// What the page must do. Times are printed, and no test depends on one.
import { copyFileSync, existsSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PHONE, accessibility, open, overflow, picture, ready, t } from "./browser.mjs";
import { HELP, HOSTILE, LONG, SPACED, get, own, touch } from "./hosts.mjs";
import { processes, until } from "./host.mjs";

function equal(what, found, wanted) {
    const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (one !== other)
        throw new Error(`${what}: ${one}, and not ${other}`);
}

function holds(what, value) {
    if (!value)
        throw new Error(what);
}

// Opens a view of a host, and closes it when the test is over. Nothing may have gone wrong in it, but what is named.
async function on(name, route, view, test, { expected = [], ...options } = {}) {
    const host = await get(name);
    // Cockpit's session of this kind ends with its last page
    host.keeper ??= await open(`http://127.0.0.1:${host.port}/cockpit/@localhost/hookmux/index.html#/check`);
    const page = await open(host.address(route), options);
    try {
        await ready(page, view);
        await test(page, host);
        equal("errors in the console", page.errors.filter(error => !expected.some(pattern => pattern.test(error))), []);
    } catch (error) {
        await picture(page, `failed-${name}-${view}`).catch(() => {});
        error.message += `\n  console: ${page.errors.join("\n  ")}`;
        throw error;
    } finally {
        await page.context().close();
    }
}

const count = (page, selector) => page.locator(selector).count();
const texts = (page, selector) => page.locator(selector).allInnerTexts();
const state = async (page, id) => page.locator(t("row", `[data-id="${id}"]`)).getAttribute("data-state");
const live = page => page.waitForSelector(t("live", '[data-state="live"]'));
const click = (page, selector) => page.locator(selector).first().click();

async function sound(page) {
    equal("what axe-core finds", await accessibility(page), []);
}

// The newest execution of a guest, as hookmux has it.
async function executions(host, ...words) {
    return (await host.json("log", "-n", "200", ...words)).executions.reverse();
}

const views = { overview: "/", calls: "/calls", guests: "/guests", life: "/guests/web1", hooks: "/hooks", check: "/check" };
const viewOf = name => name === "life" ? "guests" : name;

export const tests = {
    async "the overview shows how the host is"() {
        await on("busy", "/", "overview", async (page, host) => {
            const status = await host.json("status");
            equal("calls", Number((await page.locator(t("day-calls")).innerText()).match(/\d+/)[0]), status.last_day.calls);
            equal("failed calls", Number((await page.locator(t("day-failed")).innerText()).match(/\d+/)[0]), status.last_day.failed);
            holds("the version", (await page.locator(t("status-version")).innerText()).includes(status.hookmux_version));
            equal("entries", await count(page, t("entry", '[data-state="installed"]')), 6);
            holds("a chart", await count(page, t("day-chart")) === 1);
            holds("newest calls", await count(page, `${t("recent")} ${t("row")}`) > 3);
            holds("the last failure leads to the call", (await page.locator(`${t("last-failure")} a`).first().getAttribute("href")).includes(status.last_day.last_failure.id));
            await picture(page, "overview");
            await sound(page);
        });
    },

    async "calls are listed with a square for each hook"() {
        await on("busy", "/calls", "calls", async (page, host) => {
            const all = await executions(host);
            await until("all rows", async () => await count(page, t("row")) === all.length);
            for (const execution of all.slice(0, 8)) {
                const row = t("row", `[data-id="${execution.id}"]`);
                equal("the state", await state(page, execution.id), execution.state);
                equal("squares", await count(page, `${row} ${t("square")}`), Math.min(execution.runs.length, 12));
            }
            await picture(page, "calls");
            await sound(page);
        });
    },

    async "filters show what hookmux log shows with the same words"() {
        await on("busy", "/calls", "calls", async (page, host) => {
            const is = async (what, words) => {
                const wanted = (await executions(host, ...words)).map(one => one.id);
                await until(`${what}: ${wanted.length} rows`, async () => {
                    const ids = await page.locator(t("row")).evaluateAll(rows => rows.map(row => row.dataset.id));
                    return JSON.stringify(ids) === JSON.stringify(wanted);
                });
            };
            await page.locator(t("filter-guest")).fill("web1");
            await is("one guest", ["--guest=web1"]);
            holds("the address has it", page.url().includes("guest=web1"));
            await click(page, t("filter-only-failed"));
            await is("failed of one guest", ["--guest=web1", "--failed"]);
            await picture(page, "calls-filtered");
            await click(page, t("filter-clear"));
            await is("all", []);
            await page.locator(t("filter-driver")).selectOption("network");
            await is("networks", ["--driver=network"]);
            await click(page, t("filter-clear"));
            await page.locator(t("filter-what")).fill("after_vm_start");
            await is("an event", ["after_vm_start"]);
            await click(page, t("filter-clear"));
            await click(page, t("filter-only-lost"));
            await page.waitForSelector(t("calls-empty"));
            await click(page, t("filter-clear"));
            await is("all again", []);
        });
        await on("busy", "/calls?guest=db1&only=all", "calls", async (page, host) => {
            const wanted = (await executions(host, "--guest=db1")).length;
            await until("rows of a link with filters", async () => await count(page, t("row")) === wanted);
        });
    },

    async "a call appears while it runs, and its end too"() {
        await on("busy", "/calls", "calls", async (page, host) => {
            await live(page);
            const before = await count(page, t("row"));
            const call = host.begin("qemu", "slow1", "stopped");
            const running = page.locator(t("row", '[data-state="running"]'));
            await running.waitFor();
            const id = await running.getAttribute("data-id");
            equal("it is running", await state(page, id), "running");
            touch(host.path("go"));
            await call.ended;
            const start = Date.now();
            await page.waitForSelector(t("row", `[data-id="${id}"][data-state="good"]`));
            console.log(`time    a row is done after its call: ${Date.now() - start} ms`);
            rmSync(host.path("go"));
            equal("one more", await count(page, t("row")), before + 1);
            // quick ones, many at once
            await Promise.all([1, 2, 3, 4, 5, 6].map(number => host.call("qemu", `many${number}`, "stopped")));
            const ended = Date.now();
            await until("six rows more", async () => await count(page, t("row")) === before + 7);
            console.log(`time    six more rows after their calls: ${Date.now() - ended} ms`);
            const ids = await page.locator(t("row")).evaluateAll(rows => rows.map(row => row.dataset.id));
            equal("each once", new Set(ids).size, ids.length);
            equal("the newest first", ids, [...ids].sort().reverse());
        });
    },

    async "nothing is missed while the page isn't shown, nor when watch dies"() {
        await on("busy", "/calls", "calls", async (page, host) => {
            await live(page);
            const before = await count(page, t("row"));
            const watches = processes("watch", "--ready").filter(pid => readFileSync(`/proc/${pid}/environ`, "utf8").includes(host.hooks));
            holds("watch runs", watches.length > 0);
            for (const pid of watches)
                process.kill(pid, "SIGKILL");
            await page.waitForSelector(t("live", '[data-state="connecting"]'));
            await host.call("qemu", "gap1", "stopped");
            await live(page);
            await until("the call of the gap", async () => await count(page, t("row")) === before + 1);
        });
    },

    async "one call is shown with its timeline, output, plan and document"() {
        const host = await get("busy");
        const all = await executions(host);
        const started = all.find(one => one.operation === "started" && one.object === "web1" && one.cause === "libvirt");
        await on("busy", `/call/${started.id}`, "call", async page => {
            equal("bars", await count(page, t("run-bar")) >= 2, true);
            equal("it failed", await page.locator(t("call-state")).getAttribute("data-state"), "failed");
            const shown = (await texts(page, t("output"))).join("\n");
            holds("output", shown.includes("no route to the metrics host"));
            holds("long output is folded", !shown.includes("rule 15 "));
            await picture(page, "call");
            await click(page, t("output-more"));
            await until("all of it", async () => (await texts(page, t("output"))).join("\n").includes("rule 15 "));
            await page.evaluate(() => scrollTo(0, 0));
            await picture(page, "call-output", { fullPage: true });
            await sound(page);
            const download = page.waitForEvent("download");
            await click(page, t("download"));
            const file = await (await download).path();
            holds("a page as a report", readFileSync(file, "utf8").startsWith("<!DOCTYPE html>"));
            holds("a link to Machines", await count(page, t("machines-link")) === 1);
        });
        const launch = all.find(one => one.operation === "start" && one.object === "web1");
        await on("busy", `/call/${launch.id}`, "call", async page => {
            const text = await page.locator(t("not-run", '[data-hook="before_vm_launch/database"]')).innerText();
            holds(`why a hook didn't run: ${text}`, text.length > "before_vm_launch/database".length + 5);
        });
        const migrated = all.find(one => one.operation === "migrate");
        await on("busy", `/call/${migrated.id}`, "call", async page => {
            const text = await page.locator(t("document-diff")).innerText();
            holds("what changed", text.includes("<on_crash>restart</on_crash>") && text.includes("<on_crash>destroy</on_crash>"));
            await picture(page, "call-document");
            await sound(page);
        });
        await on("busy", "/call/nosuch", "call", async page => {
            holds("its own words", (await page.locator(t("failure-message")).innerText()).includes("nosuch"));
        });
    },

    async "a call that waits for a lock shows for how long"() {
        const host = await get("busy");
        host.script("bin/licence", `while [ ! -e ${host.path("given")} ]; do sleep 0.05; done`);
        const first = host.begin("qemu", "first", "start");
        await until("the first has the lock", async () => (await host.json("status")).running.some(one => one.object === "first" && one.running.length));
        const second = host.begin("qemu", "second", "start");
        await until("the second waits", async () => (await host.json("status")).running.some(one => one.object === "second"));
        await new Promise(resolve => setTimeout(resolve, 300));
        touch(host.path("given"));
        await Promise.all([first.ended, second.ended]);
        host.script("bin/licence", "echo \"a licence for $HOOKMUX_OBJECT\"");
        const { id } = (await executions(host, "--guest=second"))[0];
        await on("busy", `/call/${id}`, "call", async page => {
            holds("the wait is drawn", await count(page, t("run-wait")) >= 1);
            await picture(page, "call-wait");
        });
    },

    async "a call is followed while it runs, and can be ended"() {
        await on("busy", "/", "overview", async (page, host) => {
            const call = host.begin("qemu", "slow2", "stopped");
            await page.waitForSelector(t("running-call"));
            await picture(page, "overview-running");
            await page.locator(`${t("running-call")} a`).first().click();
            await ready(page, "call");
            equal("it is running", await page.locator(t("call-state")).getAttribute("data-state"), "running");
            await until("the last line of its output", async () => (await page.locator(t("view")).innerText()).includes("copying"));
            await picture(page, "call-running");
            await click(page, t("stop"));
            await page.waitForSelector('[role="dialog"]');
            await sound(page);
            await click(page, `${t("stop-confirm")}, ${t("dialog-confirm")}`);
            await call.ended;
            await until("it has ended", async () => await page.locator(t("call-state")).getAttribute("data-state") === "failed");
        });
    },

    async "hooks are switched off for a time, a guest and a reason, and on again"() {
        await on("busy", "/", "overview", async (page, host) => {
            await click(page, t("bypass-open"));
            await page.waitForSelector(t("dialog"));
            await sound(page);
            await picture(page, "bypass-dialog");
            await page.keyboard.press("Escape");
            equal("Escape closes it", await count(page, t("dialog")), 0);
            equal("nothing was switched off", existsSync(join(host.hooks, "hookmux.bypass")), false);
            await click(page, t("bypass-open"));
            await page.locator(t("bypass-for")).selectOption("15m");
            await page.locator(t("bypass-guest")).fill(HOSTILE);
            await page.locator(t("bypass-reason")).fill("ticket <b>4711</b> --help");
            // a guest that this host doesn't know may be a slip of the pen
            await click(page, t("dialog-confirm"));
            await page.waitForSelector(`${t("dialog-error")} ${t("failure")}, ${t("bypass-banner")}`);
            if (await count(page, t("bypass-banner")) === 0) {
                equal("nothing was switched off at once", existsSync(join(host.hooks, "hookmux.bypass")), false);
                await click(page, t("dialog-confirm"));
            }
            await page.waitForSelector(t("bypass-banner"));
            const [bypass] = (await host.json("bypass")).bypasses;
            equal("for which guest", bypass.object, HOSTILE);
            equal("why", bypass.reason, "ticket <b>4711</b> --help");
            const banner = await page.locator(t("bypass-banner")).innerText();
            holds(`the banner says it: ${banner}`, banner.includes(HOSTILE) && banner.includes("4711"));
            await picture(page, "bypass");
            await sound(page);
            await page.locator(t("nav-calls")).click();
            await ready(page, "calls");
            holds("the banner is on every view", await count(page, t("bypass-banner")) === 1);
            await click(page, t("bypass-end"));
            await click(page, t("dialog-confirm"));
            await page.waitForSelector(t("bypass-banner"), { state: "detached" });
            equal("it is off", (await host.json("bypass")).bypasses, []);
            // the whole host's entry takes the others with it, and says so before
            host.hookmux("bypass", "on", "--for", "1h", "--guest", "web1");
            host.hookmux("bypass", "on", "--for", "1h");
            await page.waitForSelector(t("bypass-banner", ':not([data-object])'));
            await page.locator(t("bypass-banner", '[data-object="web1"]')).locator(t("bypass-end")).click();
            holds("the host stays off", (await page.locator(t("bypass-others")).innerText()).includes("whole host"));
            await click(page, t("dialog-cancel"));
            await page.locator(t("bypass-banner", ':not([data-object])')).locator(t("bypass-end")).click();
            holds("which others end", (await page.locator(t("bypass-others")).innerText()).includes("web1"));
            await click(page, t("dialog-confirm"));
            await page.waitForSelector(t("bypass-banner"), { state: "detached" });
            // its time ends an entry, and no file changes
            host.hookmux("bypass", "on", "--for", "3s");
            await page.waitForSelector(t("bypass-banner"));
            await page.waitForSelector(t("bypass-banner"), { state: "detached" });
            // somebody switches it on the command line
            host.hookmux("bypass", "on", "--for", "1h", "--reason", "by hand");
            await page.waitForSelector(t("bypass-banner"));
            await host.call("qemu", "web2", "prepare");
            await page.waitForSelector(t("row", '[data-state="bypassed"]'));
            host.hookmux("bypass", "off");
            await page.waitForSelector(t("bypass-banner"), { state: "detached" });
        });
    },

    async "a call runs again, and a refusal is in hookmux' own words"() {
        const host = await get("busy");
        const all = await executions(host);
        const ended = all.find(one => one.operation === "stopped" && one.object === "app1");
        await on("busy", `/call/${ended.id}`, "call", async page => {
            await click(page, t("retry"));
            const run = page.locator(t("retry-run"));
            const anyway = page.locator(t("retry-anyway"));
            await run.or(anyway).waitFor();
            if (await anyway.count()) {
                await anyway.click();
                await page.locator(t("retry-force")).click();
            } else {
                await run.click();
            }
            await page.waitForURL(url => url.hash.includes("/call/") && !url.hash.includes(ended.id));
            await ready(page, "call");
            const newest = await host.newest();
            equal("a retry of it", [newest.cause, newest.parent], ["retry", ended.id]);
            holds("its page is shown", page.url().includes(newest.id));
        });
        // a gate of a guest that isn't there any more
        const gate = all.find(one => one.operation === "prepare" && one.object === "full1");
        const refusal = await host.json("retry", gate.id);
        holds("hookmux refuses it", refusal.error);
        await on("busy", `/call/${gate.id}`, "call", async page => {
            await click(page, t("retry"));
            const text = (await page.locator(t("retry-refusal")).innerText()).replace(/\s+/g, " ");
            holds(`its own words: ${text}`, text.includes(refusal.error.message.replace(/\s+/g, " ").slice(0, 60)));
            await picture(page, "retry-refused");
            await sound(page);
            await click(page, t("dialog-cancel"));
            equal("nothing was run", (await executions(host, "--guest=full1"))[0].cause === "retry", false);
        });
    },

    async "a guest's life is shown, with what runs and why the rest doesn't"() {
        await on("busy", "/guests", "guests", async (page, host) => {
            const known = (await host.json("list", "--guests")).guests.map(guest => guest.object);
            const shown = await page.locator(t("guest-link")).evaluateAll(links => links.map(link => link.dataset.guest));
            for (const guest of ["web1", "idle"])
                holds(`${guest} is known and shown: ${shown}`, known.includes(guest) && shown.includes(guest));
            await picture(page, "guests");
            await sound(page);
            await page.locator(t("guest-link", '[data-guest="web1"]')).first().click();
            await page.waitForSelector(t("part"));
            const plan = await host.json("plan", "web1");
            const actions = await page.locator(t("part")).evaluateAll(parts => parts.map(part => part.dataset.action));
            equal("parts", actions.sort(), plan.parts.map(part => part.action).sort());
            holds("a hook that doesn't run", await count(page, t("step", '[data-hook="before_vm_launch/database"][data-state="not run"]')) > 0);
            holds("a hook that runs", await count(page, t("step", '[data-hook="before_vm_prepare/10-hugepages"][data-state="runs"]')) > 0);
            await picture(page, "guest", { fullPage: true });
            await sound(page);
        });
        await on("busy", "/guests/nosuch", "guests", async page => {
            holds("a name that isn't known", (await page.locator(t("view")).innerText()).includes("nosuch"));
        });
    },

    async "hooks are listed by event, and registered ones enabled and disabled"() {
        await on("busy", "/hooks", "hooks", async (page, host) => {
            const listed = (await host.json("list")).hooks;
            const shown = await page.locator(t("hook")).evaluateAll(hooks => hooks.map(hook => [hook.dataset.hook, hook.dataset.state]));
            equal("all of them", [...new Set(shown.map(String))].sort(), [...new Set(listed.map(hook => String([hook.hook, hook.state])))].sort());
            await picture(page, "hooks", { fullPage: true });
            await sound(page);
            const of = name => listed.find(hook => hook.registration && hook.registration.endsWith(`/${name}.yaml`)).hook;
            const enabled = async name => (await host.json("list")).hooks.find(hook => hook.hook === of(name)).state;
            const row = (name, test) => `${t("hook", `[data-hook="${of(name)}"]`)} ${t(test)}`;
            await click(page, row("off", "hook-enable"));
            const confirm = page.locator(t("dialog-confirm"));
            await until("it is enabled", async () => {
                if (await confirm.count())
                    await confirm.first().click().catch(() => {});
                return await enabled("off") === "active";
            });
            await page.waitForSelector(row("off", "hook-disable"));
            await click(page, row("off", "hook-disable"));
            await until("it is disabled", async () => {
                if (await confirm.count())
                    await confirm.first().click().catch(() => {});
                return await enabled("off") === "disabled";
            });
            await page.waitForSelector(row("off", "hook-enable"));
        });
    },

    async "findings have their command, and a fix of hookmux' own is mended"() {
        await on("busy", "/check", "check", async (page, host) => {
            const found = (await host.json("check")).findings;
            await until("findings", async () => await count(page, t("finding", "[data-code]")) > 0);
            const shown = await page.locator(t("finding", "[data-code]")).evaluateAll(findings => findings.map(finding => finding.dataset.code));
            equal("the findings", shown.sort(), found.map(finding => finding.code).sort());
            await picture(page, "check", { fullPage: true });
            await sound(page);
            // Mend only where the fix is a command of hookmux
            const own = found.filter(finding => finding.fix_command && finding.fix_command[0].split("/").pop() === "hookmux");
            equal("Mend", await count(page, t("finding-mend")) <= own.length, true);
            const copy = page.locator(t("finding-copy")).first();
            if (await copy.count()) {
                await copy.click();
                const text = await page.evaluate(() => navigator.clipboard.readText());
                holds(`what is copied is a fix: ${text}`, found.some(finding => finding.fix === text || (finding.fix_command || []).join(" ") === text));
            }
        });
        const host = own("mend");
        host.script("before_vm_start/10-x", ":");
        const entry = join(host.hooks, "lxc");
        rmSync(entry);
        symlinkSync("/nonexistent/hookmux", entry);
        await host.cockpit();
        await on("mend", "/check", "check", async page => {
            const finding = t("finding", '[data-code="dangling-install"]');
            await click(page, `${finding} ${t("finding-mend")}`);
            holds("the command is shown before", (await page.locator('[role="dialog"]').innerText()).includes("install --driver lxc"));
            await picture(page, "check-mend");
            await sound(page);
            await click(page, t("mend-confirm"));
            await page.waitForSelector(finding, { state: "detached" });
            holds("libvirt finds hookmux", existsSync(entry));
            equal("hookmux says so too", (await host.json("check")).findings.filter(one => one.code === "dangling-install"), []);
        });
    },

    async "names and output that would do harm are text"() {
        const host = await get("hostile");
        await on("hostile", "/calls", "calls", async page => {
            for (const guest of [HOSTILE, HELP, LONG])
                holds(`${guest.slice(0, 20)} is there`, (await page.locator(t("view")).innerText()).includes(guest));
            equal("elements made of names", await count(page, "#app img[onerror], #app script"), 0);
            holds("a line break in a name is shown", (await page.locator(t("view")).innerText()).includes("two\\nlines"));
            holds("a name that turns the direction is shown as it is", !(await page.locator(t("view")).innerText()).includes("\u202e"));
            holds("no wider than the window", await overflow(page) <= 0);
            await picture(page, "hostile-calls");
            await sound(page);
            // a filter with such a name is one word for hookmux
            for (const guest of [HOSTILE, HELP, SPACED]) {
                await page.locator(t("filter-guest")).fill(guest);
                const wanted = (await executions(host, `--guest=${guest}`)).length;
                await until(`rows of ${guest}`, async () => wanted > 0 && await count(page, t("row")) === wanted);
            }
        });
        for (const execution of (await executions(host)).filter(one => one.operation === "prepare"))
            await on("hostile", `/call/${execution.id}`, "call", async page => {
                const text = await page.locator(t("view")).innerText();
                holds("markup is text", text.includes("<script>alert(1)</script><b>bold</b>"));
                holds("escapes are shown", text.includes("\\x1b[31mred"));
                holds("and don't reach the page", !text.includes("\u001b") && !text.includes("\u202e"));
                equal("elements made of output", await count(page, "#app b, #app script, #app img[src=x]"), 0);
                holds("no wider than the window", await overflow(page) <= 0);
                if (execution.object === HOSTILE) {
                    await picture(page, "hostile-call");
                    await sound(page);
                }
            });
        const much = (await executions(host, `--guest=${HOSTILE}`)).find(one => one.operation === "stopped");
        await on("hostile", `/call/${much.id}`, "call", async page => {
            const start = Date.now();
            await click(page, t("output-more"));
            await page.waitForSelector(t("output-more", '[aria-expanded="true"]'));
            console.log(`time    all of a long output is shown: ${Date.now() - start} ms`);
            holds("no wider than the window", await overflow(page) <= 0);
        });
        await on("hostile", "/guests", "guests", async page => {
            for (const guest of [HOSTILE, HELP, SPACED]) {
                const link = page.locator(t("guest-link")).filter({ hasText: guest === SPACED ? "a b" : guest });
                holds(`a link for ${guest}`, await link.count() > 0);
                await link.first().click();
                await page.waitForSelector(t("part"));
                await page.goBack();
                await page.waitForSelector(t("guest-link"));
            }
        });
        await on("hostile", "/hooks", "hooks", async page => {
            holds("a hook's name is text", (await page.locator(t("view")).innerText()).includes("<i>italic"));
            equal("elements made of names", await count(page, "#app i"), 0);
        });
        for (const [view, route] of Object.entries({ overview: "/", check: "/check" }))
            await on("hostile", route, view, async page => {
                equal("elements made of names", await count(page, "#app img[src=x], #app script"), 0);
                holds("no wider than the window", await overflow(page) <= 0);
            });
    },

    async "three hundred hooks in a call are no reason to wait"() {
        const host = await get("crowded");
        const { id, runs } = await host.newest();
        equal("hooks", runs.length, 300);
        await on("crowded", "/calls", "calls", async page => {
            await page.waitForSelector(t("row"));
            holds("not all squares are drawn", await count(page, t("square")) < 50);
            await picture(page, "crowded-calls");
        });
        const start = Date.now();
        await on("crowded", `/call/${id}`, "call", async page => {
            console.log(`time    a call with 300 hooks: ${Date.now() - start} ms`);
            equal("runs", await count(page, t("run")), 300);
            holds("no wider than the window", await overflow(page) <= 0);
        });
        await on("crowded", "/guests/web1", "guests", async page => {
            await page.waitForSelector(t("part"));
            holds("no wider than the window", await overflow(page) <= 0);
        });
        await on("crowded", "/check", "check", async page => { await picture(page, "crowded-check") });
    },

    async "a page without a call, and without entries, says what to do"() {
        await on("empty", "/", "overview", async page => {
            await picture(page, "empty");
            await sound(page);
        });
        await on("empty", "/calls", "calls", async (page, host) => {
            await page.waitForSelector(t("no-call-yet"));
            await live(page);
            host.script("after_vm_stop/10-x", ":");
            await host.call("qemu", "web1", "stopped");
            await page.waitForSelector(t("row"));
            equal("the first call appears by itself", await count(page, t("no-call-yet")), 0);
        });
        await on("unlinked", "/", "overview", async page => {
            const text = await page.locator(t("not-linked")).innerText();
            holds(`the command: ${text}`, text.includes("hookmux install"));
            await picture(page, "not-linked");
            await sound(page);
        });
    },

    async "without hookmux the page says so"() {
        for (const [view, route] of Object.entries({ overview: "/", calls: "/calls", hooks: "/hooks", check: "/check", guests: "/guests", call: "/call/x" }))
            await on("missing", route, view, async page => {
                await page.waitForSelector(t("not-installed"));
                if (view === "overview") {
                    await picture(page, "not-installed");
                    await sound(page);
                }
            });
    },

    async "without administrative access the page says how to get it"() {
        for (const [view, route] of Object.entries({ overview: "/", calls: "/calls", hooks: "/hooks", check: "/check", guests: "/guests", call: "/call/x" }))
            await on("limited", route, view, async page => {
                await page.waitForSelector(t("limited-access"));
                if (view === "overview") {
                    await picture(page, "limited-access");
                    await sound(page);
                }
            });
    },

    async "a hundred thousand records are no reason to wait"() {
        const host = await get("many");
        for (const words of [["status"], ["log", "-n", "50"], ["log", "-n", "200"], ["list"], ["list", "--guests"], ["plan", "guest1"], ["check"]]) {
            const start = Date.now();
            await host.json(...words);
            console.log(`time    hookmux ${words.join(" ")}, with ${process.env.COCKPIT_RECORDS} records: ${Date.now() - start} ms`);
        }
        for (const [view, route] of Object.entries({ overview: "/", calls: "/calls", hooks: "/hooks", check: "/check", guests: "/guests" })) {
            const start = Date.now();
            await on("many", route, view, async page => {
                if (view === "calls")
                    await page.waitForSelector(t("row"));
                console.log(`time    ${view} with many records: ${Date.now() - start} ms`);
                await page.evaluate(() => new Promise(resolve => requestAnimationFrame(resolve)));
            });
        }
        await on("many", "/calls", "calls", async page => {
            await page.waitForSelector(t("row"));
            const before = await count(page, t("row"));
            for (const more of [1, 2, 3]) {
                await click(page, t("calls-older"));
                await until("older calls", async () => await count(page, t("row")) > before * more);
            }
            const start = Date.now();
            await page.locator(t("filter-guest")).fill("guest399");
            await page.waitForFunction(() => {
                const rows = [...document.querySelectorAll('[data-test="row"]')];
                return rows.length > 1 && rows.every(row => row.innerText.includes("guest399"));
            });
            console.log(`time    one guest of 400 with many records: ${Date.now() - start} ms`);
            await live(page);
            await host.call("qemu", "guest399", "prepare");
            const ended = Date.now();
            const { id } = await host.newest();
            await page.waitForSelector(t("row", `[data-id="${id}"]`));
            console.log(`time    a new row with many records: ${Date.now() - ended} ms`);
        });
    },

    async "every view fits a phone, and is readable in the dark"() {
        const host = await get("busy");
        const { id } = (await executions(host)).find(one => one.operation === "started" && one.object === "web1" && one.cause === "libvirt");
        for (const [name, route] of Object.entries({ ...views, call: `/call/${id}` })) {
            await on("busy", route, viewOf(name), async page => {
                await page.waitForTimeout(300);
                const wide = await overflow(page);
                await picture(page, `phone-${name}`);
                holds(`${name} is ${wide} px wider than a phone`, wide <= 0);
                await sound(page);
            }, { size: PHONE });
            await on("busy", route, viewOf(name), async page => {
                await page.waitForTimeout(300);
                holds("dark", await page.evaluate(() => document.documentElement.classList.contains("pf-v6-theme-dark")));
                await picture(page, `dark-${name}`);
                await sound(page);
            }, { dark: true });
        }
    },

    async "everything can be done with the keyboard"() {
        await on("busy", "/calls", "calls", async page => {
            await page.waitForSelector(t("row"));
            const reached = new Set();
            for (let step = 0; step < 60; step++) {
                await page.keyboard.press("Tab");
                const [name, outline] = await page.evaluate(() => {
                    const element = document.activeElement;
                    const style = getComputedStyle(element);
                    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
                    const after = getComputedStyle(element, "::after");
                    const parent = element.parentElement && getComputedStyle(element.parentElement, "::after");
                    const drawn = [after, parent].some(one => one && (one.borderBlockEndWidth !== "0px" || one.borderBlockStartWidth !== "0px"));
                    return [element.closest("[data-test]")?.dataset.test, seen || drawn || element === document.body];
                });
                if (name)
                    reached.add(name);
                holds(`the focus on ${name} is seen`, outline);
            }
            for (const name of ["nav-overview", "nav-check", "filter-guest", "filter-only-failed", "row-link"])
                holds(`${name} is reached: ${[...reached]}`, reached.has(name));
            await page.locator(t("row-link")).first().focus();
            await page.keyboard.press("Enter");
            await ready(page, "call");
            // a dialog keeps the focus, and gives it back
            await page.locator(t("retry")).focus();
            await page.keyboard.press("Enter");
            await page.waitForSelector(`${t("dialog-cancel")}`);
            for (let step = 0; step < 8; step++) {
                await page.keyboard.press("Tab");
                holds("the focus stays in the dialog", await page.evaluate(() => document.activeElement.closest('[role="dialog"]') !== null));
            }
            await page.keyboard.press("Escape");
            equal("where the focus was", await page.evaluate(() => document.activeElement.dataset.test), "retry");
        });
    },

    async "in Cockpit's own frame the page is among the others"() {
        const host = await get("busy");
        host.keeper ??= await open(host.address("/check"));
        const start = Date.now();
        const page = await open(`http://127.0.0.1:${host.port}/hookmux`);
        try {
            const element = await page.waitForSelector('iframe[name="cockpit1:localhost/hookmux"]', { state: "attached" });
            const frame = await element.contentFrame();
            await frame.waitForSelector(t("view", "[data-ready]"));
            console.log(`time    the page in Cockpit's frame: ${Date.now() - start} ms`);
            await frame.locator(t("nav-calls")).click();
            await frame.waitForSelector(t("row"));
            holds(`the address: ${page.url()}`, page.url().includes("/hookmux#/calls"));
            await picture(page, "shell");
            const link = frame.locator(t("row-link")).first();
            await link.click();
            await frame.waitForSelector(t("call-state"));
            await page.goBack();
            await frame.waitForSelector(t("row"));
            equal("errors of the page", page.errors.filter(error => error.includes("/hookmux/")), []);
        } finally {
            await page.context().close();
        }
    },

    async "another hookmux in its place is no reason to reload"() {
        const host = own("replaced");
        host.script("after_vm_stop/10-x", ":");
        await host.call("qemu", "web1", "stopped");
        await host.cockpit();
        await on("replaced", "/calls", "calls", async page => {
            await live(page);
            const program = join(host.bin, "hookmux");
            copyFileSync(program, `${program}.new`);
            renameSync(`${program}.new`, program);
            await host.call("qemu", "web2", "stopped");
            await until("the call", async () => await count(page, t("row")) === 2);
            // while it is away, the words of the failure, and then what there is
            renameSync(program, `${program}.away`);
            await page.locator(t("nav-check")).click();
            await page.waitForSelector(t("not-installed"));
            renameSync(`${program}.away`, program);
            await click(page, t("failure-retry"));
            await page.waitForSelector(t("not-installed"), { state: "detached" });
        }, { expected: [] });
    },

    async "records of the future, and a clock that was wrong, are shown"() {
        const host = own("clock");
        host.script("after_vm_stop/10-x", ":");
        await host.call("qemu", "web1", "stopped");
        host.hookmux("prune");
        const { id } = await host.newest();
        const group = join(host.path("state/records"), id.slice(0, 6));
        const text = readFileSync(join(group, id), "utf8");
        for (const [name, shift] of [["future", 3 * 86_400_000_000], ["past", -400 * 86_400_000_000]]) {
            const head = JSON.parse(text.split("\n")[0]);
            const other = `${id.slice(0, 20)}${name === "future" ? "ZZZZZZ" : "000000"}`;
            Object.assign(head, { id: other, began_us: head.began_us + shift, object: name });
            writeFileSync(join(group, other), `${JSON.stringify(head)}\n${text.split("\n")[1]}\n`, { mode: 0o600 });
        }
        holds("three records", readdirSync(group).length >= 3);
        await host.cockpit();
        for (const [view, route] of Object.entries({ overview: "/", calls: "/calls" }))
            await on("clock", route, view, async page => {
                const text = await page.locator(t("view")).innerText();
                holds(`both are there: ${text}`, text.includes("future") && text.includes("past"));
                holds("no time is negative or none", !/NaN|Invalid|-\d+ (s|min|h)/.test(text));
            });
    },

    async "settings that are broken are told in hookmux' own words"() {
        const host = own("broken");
        writeFileSync(join(host.hooks, "hookmux.yaml"), `${readFileSync(join(host.hooks, "hookmux.yaml"), "utf8")}\nretention: nonsense\n`);
        host.script("after_vm_stop/10-x", ":");
        await host.cockpit();
        await on("broken", "/check", "check", async page => {
            await until("a finding", async () => (await page.locator(t("view")).innerText()).includes("hookmux.yaml"));
        });
        await on("broken", "/", "overview", async page => {
            holds("something is shown", (await page.locator(t("view")).innerText()).length > 50);
        });
    },

    async "pages of other languages are whole"() {
        await on("busy", "/", "overview", async page => {
            const text = await page.locator("#app").innerText();
            holds("words", text.length > 100 && !text.includes("undefined") && !text.includes("[object"));
        }, { settings: { locale: "de-DE" } });
    },

    // the last one, as it stands for all
    async "the pages of all hosts had no error"() {
        const host = await get("busy");
        equal("errors in the page that stays open", host.keeper ? host.keeper.errors : [], []);
    },
};
