import assert from "node:assert/strict";
import { test } from "node:test";
import { slim } from "../slim.mjs";

const SCRIPT = 'h("div.pf-v6-c-card", { class: "pf-m-green" }); label("x", "red")';

test("what has no effect goes, and what has stays", () => {
    const table = [
        [".pf-v6-c-card{color:red}", ".pf-v6-c-card{color:red}"],
        [".pf-v6-c-card__body{color:red}.a{b:c}", ".a{b:c}"],
        [".pf-v6-c-card.pf-m-green,.pf-v6-c-card.pf-m-blue{color:red}", ".pf-v6-c-card.pf-m-green{color:red}"],
        [".pf-v6-c-card.pf-m-red{color:red}", ".pf-v6-c-card.pf-m-red{color:red}"],
        [".pf-v6-c-card:not(.pf-m-blue,.pf-m-x){color:red}", ".pf-v6-c-card:not(.pf-m-blue,.pf-m-x){color:red}"],
        [".pf-v6-c-card:is(.pf-m-blue,:hover){color:red}", ".pf-v6-c-card:is(.pf-m-blue,:hover){color:red}"],
        [":where(.pf-v6-theme-dark) .a{b:c}.pf-v6-theme-glass .a{b:c}", ":where(.pf-v6-theme-dark) .a{b:c}"],
        ["@media (min-width:1px){.pf-v6-c-x{a:b}}.a{b:c}", ".a{b:c}"],
        ["@media (min-width:1px){@supports (a:b){.pf-v6-c-x{a:b}}.a{b:c}}", "@media (min-width:1px){.a{b:c}}"],
        [":root{--a:1;--b:var(--a);--c:'x;y}';--d:2}.a{e:var(--b)}", ":root{--a:1;--b:var(--a);}.a{e:var(--b)}"],
        ['@font-face{src:url("../../static/a.woff2")}', '@font-face{src:url("../../static/a.woff2")}'],
        ["@keyframes x{from{a:b}to{a:c}}", "@keyframes x{from{a:b}to{a:c}}"],
    ];
    for (const [css, kept] of table)
        assert.equal(slim(css, SCRIPT), kept, css);
});
