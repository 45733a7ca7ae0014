// What holds for all sources of the page.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const sources = readdirSync(join(root, "src"), { recursive: true }).filter(name => name.endsWith(".js")).map(name => [name, readFileSync(join(root, "src", name), "utf8")]);

test("nothing makes elements of text, or code of text", () => {
    for (const [name, text] of [...sources, ["index.html", readFileSync(join(root, "index.html"), "utf8")]])
        assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function|javascript:|\sstyle="|\son[a-z]+="/, name);
});

test("hookmux is called in one place, and nothing else is called at all", () => {
    const calls = sources.filter(([, text]) => /cockpit\.(spawn|script|channel|http)\b/.test(text)).map(([name]) => name);
    assert.deepEqual(calls, ["hookmux.js"]);
    assert.match(sources.find(([name]) => name === "hookmux.js")[1], /cockpit\.spawn\(\["hookmux", /);
});

test("no file is long", () => {
    for (const [name, text] of sources)
        assert.ok(text.split("\n").length <= 300, name);
});

test("what is imported is used, and what is exported is imported", () => {
    const all = sources.map(([name, text]) => [name, text.replace(/^\s*\/\/.*$/gm, "")]);
    const imported = new Set();
    const unused = [];
    for (const [name, text] of all)
        for (const [, list] of text.matchAll(/^import \{([^}]*)\} from/gm))
            for (const word of list.split(",").map(one => one.trim().split(" as ").pop())) {
                imported.add(word);
                if (text.match(new RegExp(`(?<![\\w$.])${word.replace("$", "\\$")}(?![\\w$])`, "g")).length < 2)
                    unused.push(`${name}: ${word}`);
            }
    assert.deepEqual(unused, []);
    const tests = readdirSync(join(root, "test")).map(name => readFileSync(join(root, "test", name), "utf8")).join("\n");
    const everything = all.map(([, text]) => text).join("\n") + tests;
    for (const [name, text] of all)
        for (const [, word] of text.matchAll(/^export (?:async )?(?:const|function|class) (\w+)/gm))
            assert.ok(imported.has(word) || new RegExp(`\\w+\\.${word}(?!\\w)|import .*\\b${word}\\b`).test(everything), `${name}: ${word}`);
});

test("each class of PatternFly that is named comes from a style sheet that is there", () => {
    const css = readFileSync(join(root, "src/index.css"), "utf8");
    const there = new Set([...css.matchAll(/components\/\w+\/([a-z-]+)\.css/g)].map(found => found[1]));
    for (const [name, text] of sources)
        for (const [, part] of text.matchAll(/pf-v6-c-([a-z]+(?:-[a-z]+)*)/g))
            assert.ok(there.has(part) || [...there].some(one => part.startsWith(`${one}-`)), `${name}: ${part}`);
});

test("each hook for tests that the list in index.js has is somewhere in the page", () => {
    const list = sources.find(([name]) => name === "index.js")[1];
    const all = sources.map(([, text]) => text).join("\n").replace(list, "");
    for (const name of ["nav-", "live", "bypass-banner", "bypass-end", "failure-message", "failure-retry", "limited-access", "not-installed", "not-linked", "no-call-yet", "announce",
        "dialog-error", "dialog-confirm", "dialog-cancel", "running-call", "day-chart", "row-link", "square", "calls-older", "calls-empty", "call-state", "run-bar", "run-wait", "run-limit",
        "output-more", "document-diff", "not-run", "machines-link", "guest-link", "lane-call", "hook-enable", "hook-disable", "finding-mend", "check-again", "check-clean"])
        assert.ok(all.includes(name) && list.includes(name.replace(/-$/, "")), name);
});
