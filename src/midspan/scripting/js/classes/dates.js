// Dates: the time zone tables, Java's patterns, GlideDateTime, GlideDate, GlideTime, GlideDuration.
(function (shared) {
'use strict';
const { Object, Math, Number, String, Map, Error, RegExp, Date } = shared.intrinsics;
const { host, textOf, sessionInfo } = shared;
const { floor, trunc, abs } = Math;
const SECOND = 1000;
const DAY = 86400 * SECOND;
const MONTHS = [
  'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
  'November', 'December',
];
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const LATEST = 253402300799999; // the end of the year 9999
const EARLIEST = -62135596800000; // the beginning of the year 1

// The calendar. A "wall" is what a clock shows, as milliseconds counted as if it were UTC.

function daysTo(year, month, day) {
  const shifted = month <= 2 ? year - 1 : year;
  const era = floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + floor(yearOfEra / 4) - floor(yearOfEra / 100) + dayOfYear;
  return era * 146097 + dayOfEra - 719468;
}

// [year, month, day] of a number of days since 1970.
function civil(days) {
  const shifted = days + 719468;
  const era = floor(shifted / 146097);
  const dayOfEra = shifted - era * 146097;
  const yearOfEra = floor(
    (dayOfEra - floor(dayOfEra / 1460) + floor(dayOfEra / 36524) - floor(dayOfEra / 146096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + floor(yearOfEra / 4) - floor(yearOfEra / 100));
  const shiftedMonth = floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return [
    yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
    dayOfYear - floor((153 * shiftedMonth + 2) / 5) + 1,
  ];
}

function isLeap(year) { return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0); }

function daysIn(year, month) {
  return month === 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

function weekdayOf(days) { return ((days + 3) % 7 + 7) % 7 + 1; } // Monday is 1

function wallOf(year, month, day, hour = 0, minute = 0, second = 0, milli = 0) {
  return daysTo(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND + milli;
}

function fieldsOf(wall) {
  const days = floor(wall / DAY);
  const [year, month, day] = civil(days);
  const rest = wall - days * DAY;
  return {
    year, month, day, days, weekday: weekdayOf(days), rest,
    hour: floor(rest / 3600000), minute: floor(rest / 60000) % 60, second: floor(rest / 1000) % 60,
    milli: rest % 1000,
  };
}

// Months later on the same day, or on the last of a month that is too short.
function monthsLater(wall, count) {
  const now = fieldsOf(wall);
  const months = now.year * 12 + now.month - 1 + count;
  const year = floor(months / 12);
  const month = months - year * 12 + 1;
  return daysTo(year, month, Math.min(now.day, daysIn(year, month))) * DAY + now.rest;
}

// Sunday begins a week; week 1 holds 1 January, so the last days of December may belong to it.
function weekOf(wall) {
  const { year, days } = fieldsOf(wall);
  const sunday = days - weekdayOf(days) % 7;
  const next = daysTo(year + 1, 1, 1);
  if (sunday + 6 >= next) return 1;
  const first = daysTo(year, 1, 1);
  return (sunday - (first - weekdayOf(first) % 7)) / 7 + 1;
}

function two(number) { return number < 10 ? `0${number}` : `${number}`; }
function four(number) { return String(number).padStart(4, '0'); }
function dayText(wall) {
  const [year, month, day] = civil(floor(wall / DAY));
  return `${four(year)}-${two(month)}-${two(day)}`;
}
function timeText(wall) {
  const { hour, minute, second } = fieldsOf(wall);
  return `${two(hour)}:${two(minute)}:${two(second)}`;
}
function internalText(wall) { return `${dayText(wall)} ${timeText(wall)}`; }

// Time zones: one table for each, asked for once; the host has made it from the tz database.

const zones = new Map();
const UTC = { name: 'UTC', at: [-Infinity], offset: [0], saving: [0], short: ['UTC'], last: 0 };
zones.set('UTC', UTC);

// The zone of a name, or null when there is none.
function zoneOf(name) {
  let zone = zones.get(name);
  if (zone === undefined) {
    const rows = host('dates.zone', [name]);
    zone = rows && {
      name, last: 0,
      at: rows.map((row, index) => (index === 0 ? -Infinity : row[0] * SECOND)),
      offset: rows.map((row) => row[1] * SECOND),
      saving: rows.map((row) => row[2] * SECOND),
      short: rows.map((row) => row[3]),
    };
    zones.set(name, zone);
  }
  return zone;
}

const PAST_TABLE = wallOf(2100, 1, 1);

// A later instant follows the rules of a year before 2100 that has the same days of the week.
function alike(ms) {
  const { year } = fieldsOf(ms);
  const first = weekdayOf(daysTo(year, 1, 1));
  for (let known = 2099; known > 2059; known--) {
    if (isLeap(known) === isLeap(year) && weekdayOf(daysTo(known, 1, 1)) === first) {
      return ms - (daysTo(year, 1, 1) - daysTo(known, 1, 1)) * DAY;
    }
  }
  return ms;
}

// The position in a zone's table of the entry that holds at an instant.
function entryAt(zone, instant) {
  if (zone.at.length === 1) return 0;
  const ms = instant >= PAST_TABLE ? alike(instant) : instant;
  const { at, last } = zone;
  if (ms >= at[last] && (last + 1 === at.length || ms < at[last + 1])) return last;
  let low = 0;
  let high = at.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (at[middle] <= ms) low = middle; else high = middle - 1;
  }
  zone.last = low;
  return low;
}

function toWall(zone, ms) { return ms + zone.offset[entryAt(zone, ms)]; }

// The instant of a wall time: the first one where there are two; where there is none because the
// clocks were put forward, as if they had not been.
function fromWall(zone, wall) {
  if (zone.at.length === 1) return wall - zone.offset[0];
  if (wall >= PAST_TABLE) {
    const shifted = alike(wall);
    if (shifted !== wall) return fromWall(zone, shifted) + (wall - shifted);
  }
  const first = entryAt(zone, wall - DAY);
  const final = entryAt(zone, wall + DAY);
  for (let index = first; index <= final; index++) {
    const ms = wall - zone.offset[index];
    const next = index + 1 < zone.at.length ? zone.at[index + 1] : Infinity;
    if (ms < next) return ms >= zone.at[index] ? ms : wall - zone.offset[index - 1];
  }
  return wall - zone.offset[final];
}

function userZone() { return zoneOf(sessionInfo().time_zone) ?? UTC; }
function dateFormat() { return sessionInfo().date_format; }
function timeFormat() { return sessionInfo().time_format; }
function userFormat() { return `${dateFormat()} ${timeFormat()}`; }

// Java's patterns. A compiled pattern has `write(wall, offset)` and `read(text)` → {wall, offset}.

const compiled = new Map();
const RUNS = /'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+|'/g;

function numeric(width, most, read, write, low = 0, high = Infinity) {
  return { digits: true, width, most: Math.max(width, most), read, write, low, high };
}

function named(names, count, key, write) {
  const either = [...names, ...names.map((name) => name.slice(0, 3))].join('|');
  return {
    source: `(${either})`, write,
    read: (text, found) => {
      found[key] = names.findIndex((n) => n.slice(0, 3).toLowerCase() === text.slice(0, 3).toLowerCase());
    },
  };
}

function offsetText(offset, colon, short) {
  const minutes = trunc(abs(offset) / 60000);
  const tail = short && minutes % 60 === 0 ? '' : `${colon}${two(minutes % 60)}`;
  return `${offset < 0 ? '-' : '+'}${two(floor(minutes / 60))}${tail}`;
}

function offsetField(zulu, count) {
  return {
    source: '(Z|[+-]\\d{2}(?::?\\d{2})?)',
    read: (text, found) => {
      const digits = /([+-])(\d{2}):?(\d{2})?/.exec(text);
      found.offset = digits === null ? 0
        : (Number(digits[2]) * 60 + Number(digits[3] ?? 0)) * 60000 * (digits[1] === '-' ? -1 : 1);
    },
    write: (now) => (zulu && now.offset === 0 ? 'Z'
      : offsetText(now.offset, zulu && count === 3 ? ':' : '', zulu && count === 1)),
  };
}

function yearNear(two) {
  const first = fieldsOf(nowMs()).year - 80;
  return first + ((two - first) % 100 + 100) % 100;
}

function yearField(count) {
  if (count === 2) {
    // Four digits are the year itself; two are one from 80 years ago to 20 from now, as in Java.
    return numeric(2, 4, (n, found) => { found.year = n > 99 ? n : yearNear(n); },
      (now) => two(now.year % 100));
  }
  return numeric(4, 4, (n, found) => { found.year = n; }, (now) => four(now.year), 1);
}

function plain(key, count, get, low, high) {
  const pad = (number) => String(number).padStart(count, '0');
  return numeric(count, 2, (n, found) => { found[key] = n; }, (now) => pad(get(now)), low, high);
}

const LETTERS = {
  y: yearField,
  M: (count) => {
    if (count <= 2) return plain('month', count, (now) => now.month, 1, 12);
    const field = named(MONTHS, count, 'month',
      (now) => (count > 3 ? MONTHS[now.month - 1] : MONTHS[now.month - 1].slice(0, 3)));
    return { ...field, read: (text, found) => { field.read(text, found); found.month += 1; } };
  },
  d: (count) => plain('day', count, (now) => now.day, 1, 31),
  E: (count) => named(DAYS, count, 'named',
    (now) => (count > 3 ? DAYS[now.weekday - 1] : DAYS[now.weekday - 1].slice(0, 3))),
  a: () => ({
    source: '([ap]\\.?m\\.?)',
    read: (text, found) => { found.half = text[0].toLowerCase() === 'p' ? 12 : 0; },
    write: (now) => (now.hour < 12 ? 'AM' : 'PM'),
  }),
  H: (count) => plain('hour', count, (now) => now.hour, 0, 23),
  k: (count) => plain('hour', count, (now) => now.hour || 24, 1, 24),
  h: (count) => plain('half_hour', count, (now) => now.hour % 12 || 12, 1, 12),
  K: (count) => plain('half_hour', count, (now) => now.hour % 12, 0, 11),
  m: (count) => plain('minute', count, (now) => now.minute, 0, 59),
  s: (count) => plain('second', count, (now) => now.second, 0, 59),
  S: (count) => ({
    source: '(\\d{1,9})',
    read: (text, found) => { found.milli = Number(text.slice(0, 3).padEnd(3, '0')); },
    write: (now) => String(now.milli).padStart(3, '0').padEnd(count, '0').slice(0, count),
  }),
  D: (count) => plain('day_of_year', count, (now) => now.days - daysTo(now.year, 1, 1) + 1, 1, 366),
  u: (count) => plain('day_number', count, (now) => now.weekday, 1, 7),
  w: (count) => plain('week', count, (now) => weekOf(now.days * DAY), 1, 53),
  F: (count) => plain('week_in_month', count, (now) => floor((now.day - 1) / 7) + 1, 1, 5),
  Z: (count) => offsetField(false, count),
  X: (count) => offsetField(true, count),
  z: () => ({
    source: '([A-Za-z]{2,5}|[+-]\\d{2}:?\\d{2})', read: () => {}, write: (now) => now.short ?? 'UTC',
  }),
};

function tokensOf(pattern) {
  const tokens = [];
  for (const [run, quoted, letter] of pattern.matchAll(RUNS)) {
    if (letter !== undefined) {
      if (LETTERS[letter] === undefined) {
        throw new Error(`Date pattern '${pattern}': unknown letter '${letter}'`);
      }
      tokens.push(LETTERS[letter](run.length));
    } else if (run === "'") {
      throw new Error(`Date pattern '${pattern}': a quote is not closed`);
    } else {
      tokens.push(run === "''" ? "'" : quoted === undefined ? run : quoted.replaceAll("''", "'"));
    }
  }
  return tokens;
}

function sourceOf(tokens, index) {
  const token = tokens[index];
  if (typeof token === 'string') {
    return token.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/ +/g, '[ \\t\\u00a0\\u202f]+');
  }
  if (!token.digits) return token.source;
  const tight = tokens[index - 1]?.digits || tokens[index + 1]?.digits;
  return tight ? `(\\d{${token.width}})` : `(\\d{${token.width === 4 ? 4 : 1},${token.most}})`;
}

function patternOf(text) {
  let pattern = compiled.get(text);
  if (pattern === undefined) {
    const tokens = tokensOf(text);
    const matcher = new RegExp(`^${tokens.map((_, i) => sourceOf(tokens, i)).join('')}$`, 'i');
    pattern = { tokens, matcher, fields: tokens.filter((token) => typeof token !== 'string') };
    compiled.set(text, pattern);
  }
  return pattern;
}

function writeWall(text, wall, offset = 0, short = 'UTC') {
  const now = fieldsOf(wall);
  now.offset = offset;
  now.short = short;
  return patternOf(text).tokens
    .map((token) => (typeof token === 'string' ? token : token.write(now))).join('');
}

// {wall, offset} of a text in a pattern, or null when it does not have this form.
function readWall(pattern, text) {
  const { matcher, fields } = patternOf(pattern);
  const groups = matcher.exec(text.trim());
  if (groups === null) return null;
  const found = { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, milli: 0 };
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index];
    const raw = groups[index + 1];
    const value = field.digits ? Number(raw) : raw;
    if (field.digits && (value < field.low || value > field.high)) return null;
    field.read(value, found);
  }
  if (found.day_of_year !== undefined) {
    const days = daysTo(found.year, 1, 1) + found.day_of_year - 1;
    [, found.month, found.day] = civil(days);
  }
  if (found.half_hour !== undefined) found.hour = found.half_hour % 12 + (found.half ?? 0);
  if (found.day > daysIn(found.year, found.month)) return null;
  const { year, month, day, hour, minute, second, milli } = found;
  const wall = wallOf(year, month, day, hour % 24, minute, second, milli);
  if (found.named !== undefined && found.named + 1 !== weekdayOf(floor(wall / DAY))) return null;
  return { wall, offset: found.offset };
}

// Java reads numbers without their leading zeros, too.
const INTERNAL = /^(\d{4})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2}):(\d{1,2}))?$/;
const ISO = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)? ?(Z|[+-]\d{2}(?::?\d{2})?)?$/i;
// In the order in which they are tried. Source: GlideDateTime reference, constructor.
const FORMS = [
  'MM/dd/yyyy HH:mm:ss', 'MM-dd-yyyy HH:mm:ss', 'MM-dd-yyyy HH:mm', 'MM-dd-yyyy', 'MM/dd/yyyy',
  'dd-MM-yyyy HH:mm:ss', 'dd-MM-yyyy HH.mm.ss', 'dd-MM-yyyy HH.mm', 'dd-MM-yy HH.mm.ss',
  'dd/MM/yyyy', 'dd-MM-yyyy', 'yyyy-MM-dd HH:mm', 'yyyy-MM-dd', 'dd.MM.yyyy HH:mm:ss',
  'dd.MM.yyyy HH.mm.ss', 'dd.MM.yyyy hh:mm:ss a', 'dd.MM.yyyy hh.mm.ss a', 'dd.MM.yyyy',
];

function checkedWall(parts, milli) {
  const [year, month, day, hour, minute, second] = parts;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  return wallOf(year, month, day, hour, minute, second, milli);
}

// The form of schedules, `20260131T080000Z`, as ISO has it.
const COMPACT = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)$/;

// The instant of internal text, the other known forms, or ISO; null for anything else.
function readAny(text, zone) {
  const stripped = text.trim().replace(COMPACT, '$1-$2-$3T$4:$5:$6$7');
  const internal = INTERNAL.exec(stripped) ?? ISO.exec(stripped);
  if (internal !== null) {
    const parts = internal.slice(1, 7).map((digits) => Number(digits ?? 0));
    const wall = checkedWall(parts, Number((internal[7] ?? '').slice(0, 3).padEnd(3, '0')));
    if (wall === null) return null;
    if (internal[8] === undefined) return fromWall(zone, wall);
    const found = {};
    LETTERS.X(3).read(internal[8], found);
    return wall - found.offset;
  }
  for (const form of FORMS) {
    const found = readWall(form, stripped);
    if (found !== null) return fromWall(zone, found.wall);
  }
  return null;
}

function whole(value) {
  const number = Number(textOf(value));
  return Number.isFinite(number) ? trunc(number) : 0;
}

function nowMs() { return floor(host('dates.now', []) / SECOND) * SECOND; }

class TimeZone {
  constructor(zone) { this.getID = () => zone.name; this.zone = () => zone; }
  getDisplayName() { return this.getID(); }
  getOffset(ms) { return this.zone().offset[entryAt(this.zone(), Number(ms))]; }
  getRawOffset() {
    const entry = entryAt(this.zone(), nowMs());
    return this.zone().offset[entry] - this.zone().saving[entry];
  }
  inDaylightTime(ms) { return this.zone().saving[entryAt(this.zone(), Number(ms))] !== 0; }
  toString() { return this.getID(); }
}

function zoneFrom(value) {
  const zone = zoneOf(value instanceof TimeZone ? value.getID() : textOf(value));
  if (zone === null) throw new Error(`There is no time zone '${textOf(value)}'`);
  return zone;
}

class GlideDateTime {
  #ms = NaN;
  #zone = null;
  #error = null;

  constructor(...args) {
    const [value, shown] = args;
    if (args.length === 0) this.#ms = nowMs();
    else if (shown === true) this.setDisplayValue(value);
    else this.setValue(value);
  }

  static at(ms) { return new GlideDateTime(ms); }
  static read(value) { return value instanceof GlideDateTime ? value : new GlideDateTime(value); }
  static excludeZFromFormat(format) { return textOf(format).replace(/\s*[zZ]+/g, '').trim(); }
  static subtract(start, end) {
    return new GlideDuration(
      GlideDateTime.read(end).getNumericValue() - GlideDateTime.read(start).getNumericValue(),
    );
  }

  // For the classes below and for `gs`; a script gets nothing by it that it could not have.
  get zone() { return this.#zone ?? userZone(); }
  get utc() { return this.#ms; }
  set utc(ms) { this.#put(ms); }

  #put(ms) {
    const valid = ms >= EARLIEST && ms <= LATEST;
    this.#ms = valid ? ms : NaN;
    this.#error = valid ? null : 'The date is outside the years 1 to 9999';
  }
  #fail(text) {
    this.#ms = NaN;
    this.#error = text === '' ? null : `Could not parse DateTime: ${text}`;
  }
  #wall(zone) { return toWall(zone, this.#ms); }
  #move(zone, change) {
    if (this.#ms !== this.#ms) return;
    const before = this.#wall(zone);
    const after = change(before);
    if (after !== before) this.#put(fromWall(zone, after));
  }
  #setField(zone, name, value) {
    this.#move(zone, (wall) => {
      const now = { ...fieldsOf(wall), [name]: whole(value) };
      const months = now.year * 12 + now.month - 1; // a month or day too large runs over
      const year = floor(months / 12);
      return (daysTo(year, months - year * 12 + 1, 1) + now.day - 1) * DAY + now.rest;
    });
  }
  #field(zone, name) { return this.#ms !== this.#ms ? 0 : fieldsOf(this.#wall(zone))[name]; }
  #daysIn(zone) {
    if (this.#ms !== this.#ms) return 0;
    const { year, month } = fieldsOf(this.#wall(zone));
    return daysIn(year, month);
  }

  // Values
  getValue() { return this.#ms !== this.#ms ? '' : internalText(this.#ms); }
  getUTCValue() { return this.getValue(); }
  getXMLValue() { return this.getValue(); }
  toString() { return this.getValue(); }
  toJSON() { return this.toString(); }
  getNumericValue() { return this.#ms !== this.#ms ? 0 : this.#ms; }
  hashCode() { return this.getNumericValue() | 0; }
  getRaw() { return new Date(this.#ms); }
  isValid() { return this.#ms === this.#ms; }
  hasDate() { return this.isValid(); }
  getErrorMsg() { return this.#error; }
  setValue(value) {
    if (typeof value === 'number') this.#put(value);
    else if (value instanceof GlideDateTime) this.#put(value.#ms);
    else if (value instanceof GlideTime) this.#put(value.getNumericValue());
    else if (value instanceof Date) this.#put(value.getTime());
    else this.#read(textOf(value), (text) => readAny(text, UTC));
  }
  #read(text, read) {
    const ms = text.trim() === '' ? null : read(text);
    if (ms === null) this.#fail(text); else this.#put(ms);
  }
  setGlideDateTime(other) { this.setValue(other); }
  setInitialValue(value) { this.setValue(value); }
  setXMLValue(value) { this.setValue(value); }
  setNumericValue(ms) { this.#put(Number(ms)); }
  setValueUTC(text, format) { this.#exactly(textOf(text), textOf(format), UTC); }
  #exactly(text, format, zone) {
    const found = readWall(format, text);
    if (found === null) throw new Error(`'${text}' does not match the date format '${format}'`);
    this.#put(found.offset === undefined ? fromWall(zone, found.wall) : found.wall - found.offset);
  }

  // Display
  getDisplayValue() { return this.#shown(this.displayFormat()); }
  getDisplayValueInternal() { return this.#shown('yyyy-MM-dd HH:mm:ss'); }
  getDisplayValueWithoutTZ() {
    return this.isValid() ? writeWall(this.displayFormat(), this.#ms) : '';
  }
  getInternalFormattedLocalTime() { return this.#shown('HH:mm:ss'); }
  getUserFormattedLocalTime() { return this.#shown(timeFormat()); }
  getDisplayValueLang(style) { return this.#shown(`${styled(style)} HH:mm:ss`); }
  getByFormat(format) { return this.#shown(textOf(format)); }
  displayFormat() { return userFormat(); }
  #shown(format) {
    if (!this.isValid()) return '';
    const { zone } = this;
    const entry = entryAt(zone, this.#ms);
    const offset = zone.offset[entry];
    return writeWall(format, this.#ms + offset, offset, zone.short[entry]);
  }
  setDisplayValue(text, format) {
    if (format !== undefined) return this.#exactly(textOf(text), textOf(format), this.zone);
    this.#read(textOf(text), (shown) => {
      const found = readWall(this.displayFormat(), shown);
      if (found === null) return readAny(shown, this.zone);
      return found.offset === undefined ? fromWall(this.zone, found.wall) : found.wall - found.offset;
    });
  }
  setDisplayValueInternal(text) { this.#read(textOf(text), (shown) => readAny(shown, this.zone)); }
  setDisplayValueInternalWithAlternates(text) { this.setDisplayValueInternal(text); }
  setDisplayValueLang(text, style) {
    this.#exactly(textOf(text), `${styled(style)} HH:mm:ss`, this.zone);
  }

  // Parts of other classes
  getDate() { return GlideDate.of(this.#ms); }
  getLocalDate() { return GlideDate.of(this.#wall(this.zone)); }
  getTime() { return new GlideTime(this.#field(UTC, 'rest')); }
  getLocalTime() { return GlideTime.shown(this.#field(this.zone, 'rest')); }
  getSpanTime(weekday) {
    const { weekday: own, rest } = fieldsOf(this.#ms);
    return new GlideTime(((own - whole(weekday)) % 7 + 7) % 7 * DAY + rest);
  }
  getUTCMidnight(weekday) { return this.#midnight(UTC, weekday); }
  getInternalMidnight(weekday) { return this.#midnight(this.zone, weekday); }
  #midnight(zone, weekday) {
    const { days, weekday: own } = fieldsOf(this.#wall(zone));
    return new GlideDateTime(fromWall(zone, (days + whole(weekday) - own) * DAY));
  }

  // Zone
  getUserTimeZone() { return new TimeZone(userZone()); }
  getTZ() { return new TimeZone(this.zone); }
  setTZ(zone) { this.#zone = zoneFrom(zone); }
  setTimeZone(name) {
    const zone = zoneOf(textOf(name));
    if (zone !== null) this.#zone = zone;
    return zone !== null;
  }
  setDebugTZ(zone) { this.setTZ(zone); }
  getTZOffset() { return this.isValid() ? this.zone.offset[entryAt(this.zone, this.#ms)] : 0; }
  getDSTOffset() { return this.isValid() ? this.zone.saving[entryAt(this.zone, this.#ms)] : 0; }
  isDST() { return this.getDSTOffset() !== 0; }

  // Comparison
  compareTo(other) {
    const difference = this.#ms - GlideDateTime.read(other).getNumericValue();
    return difference < 0 ? -1 : difference > 0 ? 1 : 0;
  }
  equals(other) { return this.isValid() && this.#ms === GlideDateTime.read(other).#ms; }
  before(other) { return this.#ms < GlideDateTime.read(other).#ms; }
  after(other) { return this.#ms > GlideDateTime.read(other).#ms; }
  onOrBefore(other) { return this.#ms <= GlideDateTime.read(other).#ms; }
  onOrAfter(other) { return this.#ms >= GlideDateTime.read(other).#ms; }

  // Arithmetic
  add(value) { this.#shift(millisOf(value)); }
  subtract(value) {
    if (value instanceof GlideDateTime) return new GlideDuration(this.#ms - value.#ms);
    this.#shift(-millisOf(value));
  }
  #shift(ms) { if (this.isValid()) this.#put(this.#ms + ms); }
  addSeconds(count) { this.#shift(whole(count) * SECOND); }

  static {
    const moves = {
      Days: (count) => (wall) => wall + count * DAY,
      Weeks: (count) => (wall) => wall + count * 7 * DAY,
      Months: (count) => (wall) => monthsLater(wall, count),
      Years: (count) => (wall) => monthsLater(wall, count * 12),
    };
    const parts = { Year: 'year', Month: 'month', DayOfMonth: 'day' };
    const make = (name, method) => {
      Object.defineProperty(this.prototype, name, { value: method, writable: true, configurable: true });
    };
    for (const [suffix, zoneIn] of [['UTC', () => UTC], ['LocalTime', (it) => it.zone], ['', () => UTC]]) {
      for (const unit of Object.keys(moves)) {
        make(`add${unit}${suffix}`, function (count) {
          this.#move(zoneIn(this), moves[unit](whole(count)));
        });
      }
      for (const part of Object.keys(parts)) {
        make(`get${part}${suffix}`, function () { return this.#field(zoneIn(this), parts[part]); });
        make(`set${part}${suffix}`, function (value) { this.#setField(zoneIn(this), parts[part], value); });
      }
      make(`getDaysInMonth${suffix}`, function () { return this.#daysIn(zoneIn(this)); });
      make(`getWeekOfYear${suffix}`, function () {
        return this.isValid() ? weekOf(this.#wall(zoneIn(this))) : 0;
      });
      const weekZone = suffix === '' ? (it) => it.zone : zoneIn; // documented to differ
      make(`getDayOfWeek${suffix}`, function () { return this.#field(weekZone(this), 'weekday'); });
    }
  }
}

const STYLES = {
  full: 'EEEE, MMMM d, yyyy', long: 'MMMM d, yyyy', medium: 'MMM d, yyyy', short: 'M/d/yy',
};

function styled(style) { return STYLES[textOf(style).toLowerCase()] ?? STYLES.medium; }

// A day as people write it, in the user's format or one of the styles; others put the day first.
const WRITTEN = [...Object.values(STYLES), 'd MMM yyyy', 'd MMMM yyyy', 'EEEE, d MMMM yyyy', 'EEEE d MMMM yyyy'];

function millisOf(value) {
  if (value instanceof GlideTime) return value.getNumericValue();
  const number = Number(textOf(value));
  return Number.isFinite(number) ? trunc(number) : 0;
}

// A day. It has no zone: UTC and local forms are the same.
class GlideDate extends GlideDateTime {
  constructor(...args) {
    super(...args);
    this.utc = floor(this.utc / DAY) * DAY;
    if (!this.isValid() && args.length > 0) super.setValue(args[0]);
  }

  static of(ms) { return new GlideDate(ms); }
  static subtract(start, end) { return GlideDateTime.subtract(start, end); }
  static parseDate(text) {
    const written = textOf(text).trim();
    const date = new GlideDate(0);
    date.setDisplayValue(written);
    if (date.isValid()) return date;
    for (const pattern of WRITTEN) {
      const found = readWall(pattern, written);
      if (found !== null) return GlideDate.of(found.wall);
    }
    throw new Error(`'${written}' is no date; write it like 2020-12-31 or 31 Dec 2020`);
  }

  get zone() { return UTC; }
  get utc() { return super.utc; }
  set utc(ms) { super.utc = floor(ms / DAY) * DAY; }
  displayFormat() { return dateFormat(); }
  getValue() { return this.isValid() ? dayText(this.utc) : ''; }
  getDisplayValueInternal() { return this.getValue(); }
  getDisplayValueEx(style) { return this.getByFormat(styled(style)); }
  getDisplayValueLang(style) { return this.getByFormat(styled(style)); }
  setDisplayValueEx(text, style) { this.setDisplayValue(text, styled(style)); }
  setDisplayValueLang(text, style) { this.setDisplayValue(text, styled(style)); }
  getDayOfMonthNoTZ() { return this.getDayOfMonthUTC(); }
  getMonthNoTZ() { return this.getMonthUTC(); }
  getYearNoTZ() { return this.getYearUTC(); }
  setValue(value) {
    super.setValue(value);
    this.utc = super.utc;
  }
  setDisplayValue(...args) {
    super.setDisplayValue(...args);
    this.utc = super.utc;
  }
  add(value) {
    super.add(value);
    this.utc = super.utc;
  }
}

const CLOCK = /^(?:(\d+) )?(\d{1,4}):(\d{2})(?::(\d{2}))?$/;

// Milliseconds of `[d ]HH:mm[:ss]` or of a date-time after 1970; null for anything else.
function lengthOf(text) {
  const stripped = text.trim();
  const sign = stripped.startsWith('-') ? -1 : 1;
  const clock = CLOCK.exec(sign < 0 ? stripped.slice(1) : stripped);
  if (clock === null) return readAny(stripped, UTC);
  const [, days, hours, minutes, seconds] = clock.map((digits) => Number(digits ?? 0));
  if (minutes > 59 || seconds > 59) return null;
  return sign * (days * DAY + ((hours * 60 + minutes) * 60 + seconds) * SECOND);
}

// A time of day, in UTC; `shown` makes one that is local already.
class GlideTime {
  #ms = 0;
  #shown = false;
  #valid = true;

  constructor(...args) {
    if (args.length > 0) this.setValue(args[0]);
    else this.#ms = this.startsAt();
  }

  static shown(rest) {
    const time = new GlideTime(rest);
    time.#shown = true;
    return time;
  }
  static subtract(start, end) {
    return new GlideDuration(end.getNumericValue() - start.getNumericValue());
  }

  startsAt() { return fieldsOf(nowMs()).rest; }
  #zone() { return this.#shown ? UTC : userZone(); }
  #wall() { return toWall(this.#zone(), this.#ms); }
  getNumericValue() { return this.#ms; }
  setNumericValue(ms) { this.#ms = Number(ms) || 0; }
  isValid() { return this.#valid; }
  getValue() { return timeText(this.#ms); }
  getXMLValue() { return this.toString(); }
  toString() { return internalText(this.#ms); }
  toJSON() { return this.getValue(); }
  setValue(value) {
    if (typeof value === 'number') this.#take(value);
    else if (value instanceof GlideTime) {
      this.#take(value.#ms);
      this.#shown = value.#shown;
    } else if (value instanceof GlideDateTime) this.#take(value.getNumericValue());
    else this.#take(lengthOf(textOf(value)));
  }
  setXMLValue(value) { this.setValue(value); }
  #take(ms) {
    this.#valid = ms !== null && Number.isFinite(ms);
    this.#ms = this.#valid ? trunc(ms) : 0;
  }
  getDisplayValue() { return writeWall(timeFormat(), this.#wall()); }
  getDisplayValueInternal() { return timeText(this.#wall()); }
  setDisplayValue(text) {
    const shown = textOf(text);
    const found = readWall(timeFormat(), shown);
    const wall = found === null ? lengthOf(shown) : found.wall;
    this.#shown = false;
    this.#take(wall === null ? null : fieldsOf(fromWall(userZone(), wall)).rest);
  }
  getByFormat(format) { return writeWall(textOf(format), this.#ms); }
  getHourUTC() { return fieldsOf(this.#ms).hour % 12; }
  getHourOfDayUTC() { return fieldsOf(this.#ms).hour; }
  getHourLocalTime() { return fieldsOf(this.#wall()).hour % 12; }
  getHourOfDayLocalTime() { return fieldsOf(this.#wall()).hour; }
  getMinutesUTC() { return fieldsOf(this.#ms).minute; }
  getMinutesLocalTime() { return fieldsOf(this.#wall()).minute; }
  getSeconds() { return fieldsOf(this.#ms).second; }
  getLocalTime(target) { return target.getLocalTime(); }
  compareTo(other) { return Math.sign(this.#ms - other.getNumericValue()); }
  equals(other) { return this.compareTo(other) === 0; }
}

// What else a date-time has, on the day on which times and lengths of time begin.
for (const name of Object.getOwnPropertyNames(GlideDateTime.prototype)) {
  const { value: method } = Object.getOwnPropertyDescriptor(GlideDateTime.prototype, name);
  if (typeof method !== 'function' || name in GlideTime.prototype) continue;
  const value = function (...args) {
    const date = new GlideDateTime(this.getNumericValue());
    const found = date[name](...args);
    this.setNumericValue(date.getNumericValue());
    return found;
  };
  Object.defineProperty(GlideTime.prototype, name, { value, writable: true, configurable: true });
}

function counted(count, unit) { return `${count} ${unit}${count === 1 ? '' : 's'}`; }

// A length of time.
class GlideDuration extends GlideTime {
  static subtract(start, end) { return GlideTime.subtract(start, end); }

  startsAt() { return 0; }
  getValue() { return internalText(this.getNumericValue()); }
  getDurationValue() {
    const ms = abs(this.getNumericValue());
    const days = floor(ms / DAY);
    const sign = this.getNumericValue() < 0 ? '-' : '';
    return `${sign}${days > 0 ? `${days} ` : ''}${timeText(ms)}`;
  }
  getDisplayValue() {
    const ms = abs(this.getNumericValue());
    const words = [];
    let rest = floor(ms / SECOND);
    for (const [unit, seconds] of [['Day', 86400], ['Hour', 3600], ['Minute', 60]]) {
      const count = floor(rest / seconds);
      rest -= count * seconds;
      if (count > 0) words.push(counted(count, unit));
    }
    if (words.length === 0) words.push(counted(rest, 'Second'));
    return (this.getNumericValue() < 0 ? '-' : '') + words.join(' ');
  }
  getDisplayValueInternal() { return this.getDurationValue(); }
  toJSON() { return this.toString(); }
  getDayPart() { return trunc(this.getNumericValue() / DAY); }
  getRoundedDayPart() {
    const days = floor(this.getNumericValue() / DAY);
    return this.getNumericValue() - days * DAY > DAY / 2 ? days + 1 : days;
  }
  isShowTimerAlert() { return false; }
  setDisplayValue(text) { this.setValue(text); }
  add(other) { return new GlideDuration(this.getNumericValue() + millisOf(other)); }
  subtract(other) { return new GlideDuration(this.getNumericValue() - millisOf(other)); }
}

// Periods around now in the user's zone, for gs. Weeks begin on Monday here.

const LENGTHS = { second: SECOND, minute: 60 * SECOND, hour: 3600 * SECOND };
const SPANS = { month: 1, quarter: 3, year: 12 };

function shifted(ms, unit, count) {
  if (LENGTHS[unit] !== undefined) return ms + LENGTHS[unit] * count;
  const zone = userZone();
  const wall = toWall(zone, ms);
  if (SPANS[unit] !== undefined) return fromWall(zone, monthsLater(wall, SPANS[unit] * count));
  return fromWall(zone, wall + count * (unit === 'week' ? 7 : 1) * DAY);
}

function beginning(ms, unit) {
  const zone = userZone();
  const wall = toWall(zone, ms);
  if (LENGTHS[unit] !== undefined) return ms - (wall % LENGTHS[unit] + LENGTHS[unit]) % LENGTHS[unit];
  const { year, month, days, weekday } = fieldsOf(wall);
  const firsts = {
    day: () => days, week: () => days - weekday + 1, month: () => daysTo(year, month, 1),
    quarter: () => daysTo(year, month - (month - 1) % 3, 1), year: () => daysTo(year, 1, 1),
  };
  return fromWall(zone, firsts[unit]() * DAY);
}

function end(ms, unit) { return shifted(beginning(ms, unit), unit, 1) - SECOND; }

return {
  GlideDateTime, GlideDate, GlideTime, GlideDuration, TimeZone, DAY, SECOND, UTC, beginning, end,
  shifted, daysTo, fieldsOf, fromWall, toWall, zoneOf, userZone, internalText, dayText, nowMs,
  monthsLater, daysIn, readAny, whole, writeWall, userFormat,
  lengthOf, instantFrom: (wall) => fromWall(userZone(), wall),
};
})
