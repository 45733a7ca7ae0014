// Which commands the page runs by itself: those of hookmux that need no terminal and no more words. All else is only copied.
const COMMANDS = ["install", "enable", "disable", "bypass", "prune", "undo", "queue"];

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
    return Array.isArray(words) && words[0] === "hookmux" && COMMANDS.includes(name(words)) && !words.some(word => word === "--help" || /^[A-Z][A-Z_-]+$/.test(word));
}
