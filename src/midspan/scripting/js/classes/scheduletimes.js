// GlideScheduleDateTime: times of schedules, with a zone of their own or floating.
(function (shared) {
'use strict';
const { Number } = shared.intrinsics;
const { textOf, part, notAvailable } = shared;
const {
  GlideDateTime, DAY, SECOND, UTC, TimeZone, fieldsOf, fromWall, toWall, zoneOf, userZone, internalText, nowMs,
  readAny, userFormat, writeWall, whole,
} = part('dates');

function compact(wall) { return internalText(wall).replace(/[-:]/g, '').replace(' ', 'T'); }

class GlideScheduleDateTime {
  #wall = 0; // what a clock of its zone shows
  #zone = null; // null: floating

  constructor(value, zone) {
    if (value instanceof GlideScheduleDateTime) {
      this.#wall = value.#wall;
      this.#zone = value.#zone;
    } else if (value === undefined || value === null) {
      this.#zone = UTC;
      this.#wall = nowMs();
    } else if (typeof value === 'number') {
      this.#zone = zoneOf(textOf(zone)) ?? UTC;
      this.setMS(value);
    } else {
      this.setValue(value);
    }
  }

  #instant() { return fromWall(this.#zone ?? userZone(), this.#wall); }

  // A text with Z, and a GlideDateTime, are in UTC; other texts float.
  setValue(value) {
    if (value instanceof GlideDateTime) {
      this.#zone = UTC;
      this.#wall = value.getNumericValue();
      return;
    }
    const text = textOf(value).trim();
    const wall = readAny(text, UTC);
    if (wall === null) return;
    this.#wall = wall;
    this.#zone = text.endsWith('Z') ? UTC : null;
  }
  setMS(ms) { this.#wall = toWall(this.#zone ?? userZone(), Number(ms)); }
  setTimeZone(zone) {
    const found = zoneOf(textOf(zone));
    if (found !== null) this.#zone = found;
  }
  setIncludeZFormat() {}
  setBeginningOfDay() { this.#wall -= fieldsOf(this.#wall).rest; }
  setEndOfDay() { this.#wall += DAY - SECOND - fieldsOf(this.#wall).rest; }
  addDays(days) { this.#wall += whole(days) * DAY; }
  addSeconds(seconds) { this.#wall = toWall(this.#zone ?? userZone(), this.#instant() + whole(seconds) * SECOND); }
  // What a clock in one zone shows at the time that a clock in another shows.
  convertTimeZone(from, to) {
    const [source, target] = [from, to].map((zone) => zoneOf(textOf(zone)) ?? UTC);
    this.#wall = toWall(target, fromWall(source, this.#wall));
    this.#zone = target;
    return compact(this.#wall);
  }

  getMS() { return this.#instant(); }
  getValue() { return `${compact(this.#wall)}${this.#zone === UTC ? 'Z' : ''}`; }
  getValueInternal() { return this.getValue(); }
  getGlideDateTime() {
    const date = new GlideDateTime();
    date.setNumericValue(this.#instant());
    return date;
  }
  getDisplayValue() { return writeWall(userFormat(), toWall(userZone(), this.#instant())); }
  getDisplayValueInternal() { return internalText(toWall(userZone(), this.#instant())); }
  getTimeZone() { return this.#zone === null ? null : new TimeZone(this.#zone); }
  getTimeZoneID() { return this.#zone === null ? null : this.#zone.name; }
  isFloating() { return this.#zone === null; }
  isDST() { return this.getTimeZone()?.inDaylightTime(this.#instant()) ?? false; }
  compareTo(other) {
    const difference = this.getMS() - new GlideScheduleDateTime(other).getMS();
    return difference < 0 ? -1 : difference > 0 ? 1 : 0;
  }
  equals(other) { return this.compareTo(other) === 0; }
  getCal() { throw notAvailable('GlideScheduleDateTime.getCal'); }
  setCal() { throw notAvailable('GlideScheduleDateTime.setCal'); }
  getIntegerDate() { throw notAvailable('GlideScheduleDateTime.getIntegerDate'); }
  getIntegerTime() { throw notAvailable('GlideScheduleDateTime.getIntegerTime'); }
  toString() { return this.getValue(); }
}

return { GlideScheduleDateTime };
})
