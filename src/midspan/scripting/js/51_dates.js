// gs: dates as texts. Every one of them asks the family of dates, so that nothing is loaded before.
const PERIODS = ['Minute', 'Hour', 'Day', 'Week', 'Month', 'Quarter', 'Year'];
const AGO = {
  secondsAgo: 'second', minutesAgo: 'minute', hoursAgo: 'hour', daysAgo: 'day', weeksAgo: 'week',
  monthsAgo: 'month', quartersAgo: 'quarter', yearsAgo: 'year',
};
const LASTS = [
  [15, 'Minute'], [30, 'Minute'], [45, 'Minute'], [2, 'Hour'], [7, 'Day'], [30, 'Day'], [60, 'Day'],
  [90, 'Day'], [120, 'Day'], [3, 'Month'], [6, 'Month'], [9, 'Month'], [12, 'Month'],
  [2, 'Quarter'], [2, 'Year'],
];
const NAMED_DAYS = { Yesterday: -1, Today: 0, Tomorrow: 1 };
const RELATIVE = { This: 0, Current: 0, Last: -1, Next: 1 };

// The UTC text of the side of a period some units away from now.
function edge(side, unit, step) {
  const { shifted, beginning, end, nowMs, internalText } = part('dates');
  const start = shifted(beginning(nowMs(), unit), unit, step);
  return internalText((side === 'beginning' ? beginning : end)(start, unit));
}

function defineEdges(methods, side) {
  const far = side === 'beginning';
  for (const day of Object.keys(NAMED_DAYS)) {
    methods[`${side}Of${day}`] = () => edge(side, 'day', NAMED_DAYS[day]);
  }
  for (const period of PERIODS) {
    const unit = period.toLowerCase();
    for (const which of Object.keys(RELATIVE)) {
      methods[`${side}Of${which}${period}`] = () => edge(side, unit, RELATIVE[which]);
    }
  }
  for (const [count, period] of LASTS) {
    methods[`${side}OfLast${count}${period}s`] = () => edge(side, period.toLowerCase(), far ? -count : 0);
  }
  methods[`${side}OfNext2Quarters`] = () => edge(side, 'quarter', far ? 0 : 2);
  methods[`${side}OfOneYearAgo`] = () => edge(side, 'day', -365);
  for (const period of ['Day', 'Week', 'Month', 'Year']) {
    methods[`${side}Of${period}`] = (date) => periodAround(side, period.toLowerCase(), date);
  }
}

// The instant that a date means; a day without a time is that day on the user's clock.
function instantOf(date) {
  const dates = part('dates');
  if (date === undefined) return dates.nowMs();
  const ms = new dates.GlideDateTime(date).getNumericValue();
  return date instanceof dates.GlideDate ? dates.instantFrom(ms) : ms;
}

// The side of the period that a date lies in, as a UTC text; now when there is no date.
function periodAround(side, unit, date) {
  return part('dates').internalText(part('dates')[side](instantOf(date), unit));
}

function defineAgo(methods) {
  for (const name of Object.keys(AGO)) {
    const unit = AGO[name];
    const at = (count) => {
      const { shifted, nowMs, whole } = part('dates');
      return shifted(nowMs(), unit, -whole(count));
    };
    methods[name] = (count) => part('dates').internalText(at(count));
    methods[`${name}Start`] = (count) => part('dates').internalText(part('dates').beginning(at(count), unit));
    methods[`${name}End`] = (count) => part('dates').internalText(part('dates').end(at(count), unit));
  }
}

// The first instant of the day some units ago, as the user's clock shows it.
function localDaysAgo(unit, count) {
  const { shifted, beginning, nowMs, whole, toWall, userZone, internalText } = part('dates');
  return internalText(toWall(userZone(), beginning(shifted(nowMs(), unit, -whole(count)), 'day')));
}

function secondsBetween(start, end) {
  const { GlideDateTime } = part('dates');
  const [from, to] = [start, end].map((value) => {
    const date = new GlideDateTime();
    date.setDisplayValue(value);
    return date;
  });
  return from.isValid() && to.isValid() ? to.getNumericValue() - from.getNumericValue() : null;
}

function isEdge(side, unit, date) {
  const dates = part('dates');
  const ms = instantOf(date);
  return dates.beginning(ms, 'day') === dates.beginning(dates[side](ms, unit), 'day');
}

rareMakers.push((methods) => {
  defineEdges(methods, 'beginning');
  defineEdges(methods, 'end');
  defineAgo(methods);
  for (const period of ['Week', 'Month', 'Year']) {
    methods[`isFirstDayOf${period}`] = (date) => isEdge('beginning', period.toLowerCase(), date);
    methods[`isLastDayOf${period}`] = (date) => isEdge('end', period.toLowerCase(), date);
    methods[`isLastDayof${period}`] = methods[`isLastDayOf${period}`]; // as the reference has it once
  }
});

Object.assign(gs, {
  now: () => part('dates').GlideDate.of(part('dates').toWall(part('dates').userZone(), part('dates').nowMs())).getDisplayValue(),
  nowDateTime: () => new (part('dates').GlideDateTime)().getDisplayValue(),
  nowNoTZ: () => new (part('dates').GlideDateTime)().getValue(),
  nowGlideDateTime: () => new (part('dates').GlideDateTime)(),
  yesterday: () => localNow('day', 1),
  lastWeek: () => localNow('week', 1),
  daysAgoLocal: (count) => localDaysAgo('day', count),
  hoursAgoLocal(count) {
    const { shifted, nowMs, whole, toWall, userZone, internalText } = part('dates');
    return internalText(toWall(userZone(), shifted(nowMs(), 'hour', -whole(count))));
  },
  getDateFormat: () => sessionInfo().date_format,
  getTimeFormat: () => sessionInfo().time_format,
  getDateTimeFormat: () => `${sessionInfo().date_format} ${sessionInfo().time_format}`,
  getSysTimeZone: () => sessionInfo().system_zone,
  getTimeZoneName: () => sessionInfo().time_zone,
  dateDiff(start, end, numeric) {
    const ms = secondsBetween(start, end);
    if (ms === null) return null;
    const length = new (part('dates').GlideDuration)(ms);
    return numeric === true ? String(Math.trunc(ms / 1000)) : length.getDurationValue();
  },
  calDateDiff: (start, end, numeric) => gs.dateDiff(start, end, numeric),
  getDurationDate: (text) => new (part('dates').GlideDuration)(text).getValue(),
  // A day, and `start`, `end` or a time of it on the user's clock, as a UTC text.
  dateGenerate(day, range) {
    const { GlideDateTime } = part('dates');
    const times = { start: '00:00:00', end: '23:59:59' };
    const time = range === undefined ? '' : ` ${times[textOf(range)] ?? textOf(range)}`;
    const date = new GlideDateTime();
    date.setDisplayValueInternal(`${textOf(day)}${time}`);
    return date.getValue();
  },
  dateAdd(unit, count, basis) {
    const { shifted, nowMs, whole, internalText, GlideDateTime } = part('dates');
    const name = textOf(unit).toLowerCase().replace(/s$/, '');
    const start = basis === undefined ? nowMs() : new GlideDateTime(basis).getNumericValue();
    return internalText(shifted(start, name, whole(count)));
  },
});

function localNow(unit, count) {
  const { shifted, nowMs, toWall, userZone, internalText } = part('dates');
  return internalText(toWall(userZone(), shifted(nowMs(), unit, -count)));
}
