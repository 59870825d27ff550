import type { AccessEntry } from "./access-entry.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** What would end a quoted part or a line, or a terminal would obey: each character is one byte that came from outside. */
const UNSAFE = /[^ !#-[\]-~]/g;

/** The Common Log Format of NCSA, as nginx writes it: `127.0.0.1 - - [27/Nov/2026:10:46:08 +0000] "GET / HTTP/1.1" 200 5`. */
export function commonLine(entry: AccessEntry): string {
  const { client = "-", method, target, version, status, bytes } = entry;
  const request = `${quoted(method)} ${quoted(target)} HTTP/${version}`;
  return `${client} - - [${logTime(entry.timeMs)}] "${request}" ${status} ${bytes}`;
}

/** The same with `Referer` and `User-Agent` behind it. */
export function combinedLine(entry: AccessEntry): string {
  return `${commonLine(entry)} "${quoted(entry.referer ?? "-")}" "${quoted(entry.userAgent ?? "-")}"`;
}

/** One JSON object: the entry, with `time` as ISO 8601, without what is `undefined`. */
export function jsonLine({ timeMs, ...rest }: AccessEntry): string {
  return JSON.stringify({ time: new Date(timeMs).toISOString(), ...rest });
}

let secondMs = Number.NaN;
let secondText = "";

/** `27/Nov/2026:10:46:08 +0000`, in UTC; made once a second. */
export function logTime(timeMs: number): string {
  const ofSecond = timeMs - (timeMs % 1000);
  if (ofSecond === secondMs) return secondText;
  const date = new Date(ofSecond);
  const day = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}`;
  secondMs = ofSecond;
  secondText = `${day}:${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
  return secondText;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

/** As nginx does it: `"` becomes `\x22`. */
function quoted(text: string): string {
  return text.replaceAll(UNSAFE, (char) => `\\x${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
