// Which commands the page runs by itself: those of hookmux that end at once, run no hook, and need no decision. All else is only copied.
const COMMANDS = ["install", "enable", "disable", "bypass", "prune"];

// The command's own name: what comes after options like `--hooks-dir DIR`.
function name(words) {
    for (let place = 1; place < words.length; place++) {
        if (words[place] === "--hooks-dir")
            place++;
        else if (!words[place].startsWith("-"))
            return words[place];
    }
    return null;
}

export function canFix(words) {
    return Array.isArray(words) && words[0] === "hookmux" && (COMMANDS.includes(name(words)) || (name(words) === "queue" && words.includes("--requeue"))) && !words.some(word => word === "--help" || /^[A-Z][A-Z_-]+$/.test(word));
}
