// The words of a command as a shell takes them.
const PLAIN = /^[A-Za-z0-9_.\/:=@%+,-]+$/;

const quoted = word => PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

export const quote = words => words.map(quoted).join(" ");
