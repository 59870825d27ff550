const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const IMF_FIXDATE = /^(\w{3}), (\d{2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const RFC_850 = /^(\w{6,9}), (\d{2})-(\w{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const ASCTIME = /^(\w{3}) (\w{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/;

let cachedSecond = -1;
let cachedText = "";

/**
 * The current second as an IMF-fixdate, made anew only when the second changes.
 * @param nowMs Milliseconds since the epoch; default: the clock.
 * @see RFC 9110, section 5.6.7
 */
export function httpDateNow(nowMs: number = Date.now()): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== cachedSecond) {
    cachedSecond = second;
    cachedText = formatHttpDate(second * 1000);
  }
  return cachedText;
}

/** Milliseconds since the epoch as an IMF-fixdate: `Thu, 01 Jan 1970 00:00:01 GMT`. */
export function formatHttpDate(epochMs: number): string {
  return new Date(epochMs).toUTCString();
}

/**
 * Milliseconds since the epoch of a date in any of the three forms of RFC 9110, section 5.6.7; `undefined` when it is
 * none of them or names no day that exists.
 * @param nowMs Decides the century of a two-digit year: a date over 50 years ahead belongs to the past.
 */
export function parseHttpDate(text: string, nowMs: number = Date.now()): number | undefined {
  let match = IMF_FIXDATE.exec(text);
  if (match) {
    const [, day, date, month, year, h, m, s] = match as unknown as string[];
    return toEpochMs(DAYS.indexOf(day as string), Number(year), month, Number(date), h, m, s);
  }
  match = RFC_850.exec(text);
  if (match) {
    const [, day, date, month, shortYear, h, m, s] = match as unknown as string[];
    const thisYear = new Date(nowMs).getUTCFullYear();
    let year = thisYear - (thisYear % 100) + Number(shortYear);
    if (year > thisYear + 50) year -= 100;
    return toEpochMs(LONG_DAYS.indexOf(day as string), year, month, Number(date), h, m, s);
  }
  match = ASCTIME.exec(text);
  if (match) {
    const [, day, month, date, h, m, s, year] = match as unknown as string[];
    return toEpochMs(DAYS.indexOf(day as string), Number(year), month, Number(date), h, m, s);
  }
  return undefined;
}

function toEpochMs(
  weekday: number,
  year: number,
  monthName: string | undefined,
  date: number,
  h: string | undefined,
  m: string | undefined,
  s: string | undefined,
): number | undefined {
  const month = MONTHS.indexOf(monthName ?? "");
  const [hours, minutes, seconds] = [Number(h), Number(m), Number(s)];
  // 60 is a leap second (RFC 9110 takes the grammar of RFC 5322), which ends as the next minute's start.
  if (weekday < 0 || month < 0 || hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const at = new Date(0);
  at.setUTCFullYear(year, month, date);
  if (at.getUTCMonth() !== month || at.getUTCDate() !== date) return undefined;
  return at.setUTCHours(hours, minutes, seconds);
}
