// GlideSchedule over cmn_schedule, cmn_schedule_span and cmn_other_schedule; DurationCalculator.
(function (shared) {
'use strict';
const { Object, Math, Number, Set, Error } = shared.intrinsics;
const { textOf, part, GlideRecord, publicRecord, STATE } = shared;
const {
  GlideDateTime, GlideDuration, DAY, SECOND, daysTo, fieldsOf, fromWall, toWall, zoneOf, userZone,
  monthsLater, daysIn, readAny, UTC, TimeZone, whole,
} = part('dates');
const WINDOW = 31 * DAY;
const HORIZON = 10 * 366 * DAY; // how far is looked for time that is left
const WEEK_SETS = { weekdays: [1, 2, 3, 4, 5], weekends: [6, 7], weekMWF: [1, 3, 5], weekTT: [2, 4] };
const COMPACT = /^(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?$/;

// {wall, utc} of `20260131T080000`, the same with Z, or internal text; null for anything else.
function scheduleTime(text) {
  const found = COMPACT.exec(text.trim());
  if (found === null) {
    const wall = text.trim() === '' ? null : readAny(text, UTC);
    return wall === null ? null : { wall, utc: false };
  }
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part ?? 0));
  const wall = daysTo(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND;
  return { wall, utc: found[7] === 'Z' };
}

class Span {
  constructor(record, zone) {
    const start = scheduleTime(record.getValue('start_date_time') ?? '');
    const end = scheduleTime(record.getValue('end_date_time') ?? '');
    const until = scheduleTime(record.getValue('repeat_until') ?? '');
    this.zone = start !== null && start.utc ? UTC : zone;
    this.start = start === null ? 0 : start.wall;
    this.length = start === null || end === null ? 0 : Math.max(0, end.wall - start.wall);
    if (record.getValue('all_day') === '1' && start !== null) {
      this.start -= fieldsOf(this.start).rest;
      const last = end === null ? this.start : end.wall;
      this.length = (Math.floor((last - this.start) / DAY) + 1) * DAY;
    }
    this.until = until === null || until.wall <= 0 ? Infinity : until.wall - fieldsOf(until.wall).rest + DAY - 1;
    this.excludes = ['exclude', 'excluded'].includes(record.getValue('type'));
    this.repeat = record.getValue('repeat_type') ?? '';
    this.every = Math.max(1, whole(record.getValue('repeat_count') ?? 1));
    this.days = (record.getValue('days_of_week') ?? '').split('').map(Number).filter((day) => day >= 1 && day <= 7);
    this.monthly = record.getValue('monthly_type') || 'dom';
    this.yearly = record.getValue('yearly_type') || 'doy';
    this.month = whole(record.getValue('month'));
    this.week = whole(record.getValue('float_week'));
    this.weekday = whole(record.getValue('float_day'));
    this.usable = start !== null && this.length > 0;
  }

  // The walls at which an occurrence starts, between two walls.
  starts(from, to) {
    const found = [];
    const last = Math.min(to, this.until);
    const take = (wall) => { if (wall >= from && wall >= this.start && wall <= last) found.push(wall); };
    if (this.repeat === '') take(this.start);
    else if (this.repeat === 'daily') this.byDays(from, last, this.every, take);
    else if (WEEK_SETS[this.repeat] !== undefined) this.byWeekdays(from, last, WEEK_SETS[this.repeat], 1, take);
    else if (this.repeat === 'weekly') {
      const own = fieldsOf(this.start).weekday;
      this.byWeekdays(from, last, this.days.length > 0 ? this.days : [own], this.every, take);
    } else if (this.repeat === 'monthly') this.byMonths(from, last, this.every, take);
    else if (this.repeat === 'yearly') this.byMonths(from, last, this.every * 12, take);
    return found;
  }
  byDays(from, to, step, take) {
    const skipped = Math.max(0, Math.ceil((from - this.start) / (step * DAY)));
    for (let wall = this.start + skipped * step * DAY; wall <= to; wall += step * DAY) take(wall);
  }
  byWeekdays(from, to, days, step, take) {
    const { days: day, weekday, rest } = fieldsOf(this.start);
    const monday = day - weekday + 1;
    let week = Math.max(0, Math.floor((Math.floor(from / DAY) - monday) / 7));
    week -= week % step;
    for (; (monday + week * 7) * DAY <= to; week += step) {
      for (const wanted of days) take((monday + week * 7 + wanted - 1) * DAY + rest);
    }
  }
  byMonths(from, to, step, take) {
    const first = fieldsOf(this.start);
    const reached = fieldsOf(Math.max(from, this.start));
    const between = (reached.year - first.year) * 12 + reached.month - first.month;
    for (let count = Math.max(0, Math.floor(between / step)) * step; ; count += step) {
      const month = fieldsOf(monthsLater(this.start - (first.day - 1) * DAY, count));
      const floating = this.repeat === 'yearly' && this.yearly === 'float';
      const inMonth = floating ? { year: month.year, month: this.month || month.month } : month;
      const firstDay = daysTo(inMonth.year, inMonth.month, 1);
      if (firstDay * DAY > to) return;
      const day = this.dayIn(inMonth, first, floating);
      if (day !== null) take((firstDay + day - 1) * DAY + first.rest);
    }
  }
  // The day of a month on which it occurs, or null when there is none.
  dayIn({ year, month }, first, floating) {
    const length = daysIn(year, month);
    if (floating) return nthWeekday(year, month, this.week, this.weekday);
    if (this.repeat === 'yearly') return first.day <= length ? first.day : null;
    if (this.monthly === 'ldom') return length;
    if (this.monthly === 'ldow') return nthWeekday(year, month, 5, first.weekday);
    if (this.monthly === 'dow') {
      const day = nthWeekday(year, month, 1, first.weekday) + Math.floor((first.day - 1) / 7) * 7;
      return day <= length ? day : null;
    }
    return first.day <= length ? first.day : null;
  }
  // Its occurrences that touch a stretch of time, as [start, end] in milliseconds.
  intervals(from, to) {
    if (!this.usable) return [];
    return this.starts(toWall(this.zone, from) - this.length - DAY, toWall(this.zone, to) + DAY)
      .map((wall) => [fromWall(this.zone, wall), fromWall(this.zone, wall + this.length)])
      .filter(([start, end]) => start < to && end > from);
  }
}

// The nth of a weekday in a month; from the fifth on it is the last one.
function nthWeekday(year, month, nth, weekday) {
  const first = fieldsOf(daysTo(year, month, 1) * DAY).weekday;
  const day = 1 + ((weekday - first) % 7 + 7) % 7 + (Math.max(1, nth) - 1) * 7;
  return day <= daysIn(year, month) ? day : day - 7 * Math.ceil((day - daysIn(year, month)) / 7);
}

function merged(intervals) {
  const found = [];
  for (const [start, end] of intervals.sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}

function without(intervals, excluded) {
  return excluded.reduce((left, [from, to]) => left.flatMap(([start, end]) => {
    if (to <= start || from >= end) return [[start, end]];
    return [[start, Math.min(from, end)], [Math.max(to, start), end]].filter(([a, b]) => a < b);
  }), intervals);
}

function clipped(intervals, from, to) {
  return intervals.map(([start, end]) => [Math.max(start, from), Math.min(end, to)]).filter(([a, b]) => a < b);
}

function millis(value) { return GlideDateTime.read(value).getNumericValue(); }

class GlideSchedule {
  #id = '';
  #name = '';
  #zone = null;
  #included = [];
  #excluded = [];
  #toMidnight = false;

  constructor(id, zone) {
    if (id instanceof GlideSchedule) {
      this.load(id.#id, id.getTimeZone());
    } else if (textOf(id) !== '') {
      this.#toMidnight = zone === true;
      this.load(id, typeof zone === 'boolean' ? undefined : zone);
    }
  }

  load(id, zone, leftOut) {
    this.#id = textOf(id);
    const record = publicRecord('cmn_schedule', this.#id);
    this.#name = record.getValue('name') ?? '';
    this.#zone = ownZone(record) ?? (textOf(zone) === '' ? null : zoneOf(textOf(zone)));
    this.#included = [];
    this.#excluded = [];
    if (record.isValidRecord()) this.#collect(record, new Set(), true, textOf(leftOut));
  }
  // Its own entries, those of its parents and of its children; all of an excluded child is taken away.
  #collect(record, seen, includes, leftOut) {
    const id = record.getUniqueValue();
    if (seen.has(id) || seen.size > 50) return;
    seen.add(id);
    const zone = ownZone(record) ?? this.#present();
    const spans = new GlideRecord('cmn_schedule_span');
    spans.addQuery('schedule', id);
    spans[STATE].whole = true;
    spans.query();
    while (spans.next()) {
      if (spans.getUniqueValue() === leftOut) continue;
      const span = new Span(spans, zone);
      if (this.#toMidnight && fieldsOf(span.start + span.length).rest === DAY - SECOND) span.length += SECOND;
      (span.excludes || !includes ? this.#excluded : this.#included).push(span);
    }
    const others = new GlideRecord('cmn_other_schedule');
    others.addQuery('schedule', id);
    others.query();
    while (others.next()) {
      const child = publicRecord('cmn_schedule', others.getValue('child_schedule'));
      const included = includes && others.getValue('type') !== 'exclude';
      if (child.isValidRecord()) this.#collect(child, seen, included, leftOut);
    }
    const parent = publicRecord('cmn_schedule', record.getValue('parent') ?? '');
    if (parent.isValidRecord()) this.#collect(parent, seen, includes, leftOut);
  }
  #present() { return this.#zone ?? userZone(); }
  #intervals(from, to) {
    const all = (spans) => merged(spans.flatMap((span) => span.intervals(from, to)));
    return without(all(this.#included), all(this.#excluded));
  }

  getID() { return this.#id; }
  getName() { return this.#name; }
  isValid() { return this.#included.length > 0; }
  getTimeZone() { return this.#present().name; }
  getTZ() { return new TimeZone(this.#present()); }
  setTimeZone(zone) {
    const found = zoneOf(textOf(zone));
    if (found === null) throw new Error(`There is no time zone '${textOf(zone)}'`);
    const before = this.#present();
    this.#zone = found;
    for (const span of [...this.#included, ...this.#excluded]) if (span.zone === before) span.zone = found;
  }
  #in(zone) { if (zone !== undefined && textOf(zone) !== '') this.setTimeZone(zone); }

  isInSchedule(time, zone) {
    this.#in(zone);
    const ms = millis(time);
    return this.#intervals(ms, ms + 1).some(([start, end]) => start <= ms && ms < end);
  }
  // The time in the schedule between two instants. A schedule without entries is always open.
  duration(start, end, zone) {
    this.#in(zone);
    const [from, to] = [millis(start), millis(end)];
    if (!this.isValid()) return new GlideDuration(to - from);
    return new GlideDuration(from <= to ? this.#sum(from, to) : -this.#sum(to, from));
  }
  #sum(from, to) {
    let total = 0;
    for (let at = from; at < to; at += WINDOW) {
      const stop = Math.min(at + WINDOW, to);
      for (const [start, end] of clipped(this.#intervals(at, stop), at, stop)) total += end - start;
    }
    return total;
  }
  // The instant at which so much time of the schedule has passed since the start.
  add(start, length, zone) {
    this.#in(zone);
    const from = millis(start);
    const wanted = new GlideDuration(length).getNumericValue();
    if (!this.isValid()) return new GlideDateTime(from + wanted);
    return new GlideDateTime(wanted < 0 ? this.#back(from, -wanted) : this.#ahead(from, wanted));
  }
  #ahead(from, wanted) {
    let left = wanted;
    for (let at = from; at < from + wanted + HORIZON; at += WINDOW) {
      for (const [start, end] of clipped(this.#intervals(at, at + WINDOW), at, at + WINDOW)) {
        if (left <= end - start) return start + left;
        left -= end - start;
      }
    }
    throw new Error(`The schedule '${this.#name}' has not enough time left`);
  }
  #back(from, wanted) {
    let left = wanted;
    for (let at = from; at > from - wanted - HORIZON; at -= WINDOW) {
      for (const [start, end] of clipped(this.#intervals(at - WINDOW, at), at - WINDOW, at).reverse()) {
        if (left <= end - start) return end - left;
        left -= end - start;
      }
    }
    throw new Error(`The schedule '${this.#name}' had not enough time before`);
  }
  // Milliseconds until the next time begins, -1 when none does; while it is open: the one after.
  whenNext(time, zone) {
    this.#in(zone);
    const from = time === undefined ? new GlideDateTime().getNumericValue() : millis(time);
    for (let at = from; at < from + HORIZON; at += WINDOW) {
      const found = this.#intervals(at, at + WINDOW).find(([start]) => start > from && start >= at);
      if (found !== undefined) return found[0] - from;
    }
    return -1;
  }
  // Milliseconds since the last time ended, -1 when none did.
  whenLast(time) {
    const from = millis(time);
    for (let at = from; at > from - HORIZON; at -= WINDOW) {
      const ends = this.#intervals(at - WINDOW, at).map(([, end]) => end).filter((end) => end <= from);
      if (ends.length > 0) return from - Math.max(...ends);
    }
    return -1;
  }
}

// The zone of a schedule that has one; a floating one has that of whoever asks.
function ownZone(record) {
  const name = record.getValue('time_zone') ?? '';
  return ['', 'floating'].includes(name.toLowerCase()) ? null : zoneOf(name);
}

// A text is what is displayed; anything else is a date itself.
function displayed(value) {
  if (typeof value !== 'string') return value;
  const date = new GlideDateTime();
  date.setDisplayValue(value);
  return date;
}

class DurationCalculator {
  constructor() { this.initialize(); }

  // Classes of scripts that extend this one are made by it.
  initialize() {
    this.schedule = null;
    this.timezone = undefined;
    this.startDateTime = new GlideDateTime();
    this.endDateTime = new GlideDateTime();
    this.seconds = 0;
    this.totalSeconds = 0;
  }
  setSchedule(id, zone) {
    this.schedule = textOf(id) === '' ? null : new GlideSchedule(id, zone ?? this.timezone);
    return this.schedule !== null && this.schedule.isValid();
  }
  setTimeZone(zone) {
    this.timezone = textOf(zone);
    if (this.schedule !== null) this.schedule.setTimeZone(zone);
  }
  setStartDateTime(start) { this.startDateTime = new GlideDateTime(textOf(start) === '' ? new GlideDateTime() : start); }
  getStartDateTime() { return this.startDateTime; }
  getEndDateTime() { return this.endDateTime; }
  getSeconds() { return this.seconds; }
  getTotalSeconds() { return this.totalSeconds; }
  calcDuration(seconds) {
    if (Number.isNaN(Number(textOf(seconds)))) return false;
    this.seconds = Number(textOf(seconds));
    const length = new GlideDuration(this.seconds * SECOND);
    if (this.schedule === null) this.endDateTime = new GlideDateTime(this.startDateTime.getNumericValue() + this.seconds * SECOND);
    else this.endDateTime = this.schedule.add(this.startDateTime, length);
    this.totalSeconds = (this.endDateTime.getNumericValue() - this.startDateTime.getNumericValue()) / SECOND;
    return true;
  }
  calcScheduleDuration(start, end) {
    if (textOf(start) !== '') this.setStartDateTime(displayed(start));
    if (textOf(end) !== '') this.endDateTime = new GlideDateTime(displayed(end));
    const total = Math.max(0, this.endDateTime.getNumericValue() - this.startDateTime.getNumericValue());
    const within = this.schedule === null || total === 0 ? total
      : this.schedule.duration(this.startDateTime, this.endDateTime).getNumericValue();
    this.totalSeconds = total / SECOND;
    this.seconds = within / SECOND;
    return this.seconds;
  }
}
Object.defineProperty(DurationCalculator.prototype, 'type', { value: 'DurationCalculator', writable: true });

return { GlideSchedule, DurationCalculator };
})
