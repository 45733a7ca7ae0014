// Times and durations for people.
import { hostNow } from "./clock.js";
import { _, format, language, ngettext } from "./text.js";

const two = number => String(number).padStart(2, "0");

// 0 ms, 12 ms, 1.2 s, 48 s, 2 min 5 s, 3 h 10 min, 2 d 4 h
export function duration(seconds) {
    if (seconds === null || seconds === undefined)
        return "";
    if (seconds < 0.9995)
        return format(_("$0 ms"), Math.round(seconds * 1000));
    if (seconds < 9.95)
        return format(_("$0 s"), seconds.toFixed(1));
    const whole = Math.round(seconds);
    if (whole < 60)
        return format(_("$0 s"), whole);
    if (whole < 3600)
        return whole % 60 ? format(_("$0 min $1 s"), Math.floor(whole / 60), whole % 60) : format(_("$0 min"), whole / 60);
    const minutes = Math.round(whole / 60);
    if (minutes < 24 * 60)
        return minutes % 60 ? format(_("$0 h $1 min"), Math.floor(minutes / 60), minutes % 60) : format(_("$0 h"), minutes / 60);
    const hours = Math.round(minutes / 60);
    return hours % 24 ? format(_("$0 d $1 h"), Math.floor(hours / 24), hours % 24) : format(_("$0 d"), hours / 24);
}

// Of something that still runs: 0:03, 12:40, 1:02:03
export function clock(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const midnight = date => new Date(date.getFullYear(), date.getMonth(), date.getDate());

// How many midnights lie between two times, in local time.
export const days = (date, now) => Math.round((midnight(now) - midnight(date)) / 86400000);

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const DAY = { month: "short", day: "numeric" };

// The time today; on other days the day before it, and the year where it is another one.
export function when(text, now = new Date(hostNow())) {
    const date = new Date(text);
    if (Number.isNaN(date.getTime()))
        return "";
    const time = date.toLocaleTimeString(language(), TIME);
    if (days(date, now) === 0)
        return time;
    const day = date.toLocaleDateString(language(), date.getFullYear() === now.getFullYear() ? DAY : { ...DAY, year: "numeric" });
    return format(_("$0, $1"), day, time);
}

// All of it, for tooltips and facts.
export function exactly(text) {
    const date = new Date(text);
    return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(language(), { dateStyle: "full", timeStyle: "long", hourCycle: "h23" });
}

// just now, 5 minutes ago, 3 hours ago, 2 days ago
export function ago(text, now = new Date(hostNow())) {
    const seconds = (now - new Date(text)) / 1000;
    if (Number.isNaN(seconds))
        return "";
    if (seconds < 60)
        return _("just now");
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60)
        return format(ngettext("$0 minute ago", "$0 minutes ago", minutes), minutes);
    const hours = Math.floor(minutes / 60);
    if (hours < 24)
        return format(ngettext("$0 hour ago", "$0 hours ago", hours), hours);
    const count = Math.floor(hours / 24);
    return format(ngettext("$0 day ago", "$0 days ago", count), count);
}

// When something will be over: 14:30, or with the day.
export function until(text, now = new Date(hostNow())) {
    const date = new Date(text);
    const time = date.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return days(date, now) === 0 ? time : format(_("$0, $1"), date.toLocaleDateString(language(), DAY), time);
}
