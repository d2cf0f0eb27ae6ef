// What the platform's older engine had and scripts still use: a few methods of its own.
function addMethod(object, name, value) {
  if (!hasOwn(object, name)) defineProperty(object, name, { value, writable: true, configurable: true });
}

addMethod(String.prototype, 'contains', function contains(part) {
  return String(this).includes(String(part));
});
addMethod(String.prototype, 'equals', function equals(other) { return String(this) === String(other); });
addMethod(String.prototype, 'equalsIgnoreCase', function equalsIgnoreCase(other) {
  return String(this).toLowerCase() === String(other).toLowerCase();
});
addMethod(String.prototype, 'isEmpty', function isEmpty() { return String(this) === ''; });
// As collators of Java order texts: letters first, then accents, then small before capital. The
// engine's own compares code units, with all capitals before the small letters.
function unaccented(text) { return text.normalize('NFD').replace(/\p{M}/gu, ''); }
function ordered(one, other) { return one === other ? 0 : one < other ? -1 : 1; }
function swapped(text) {
  return Array.from(text, (letter) => {
    const small = letter.toLowerCase();
    return small === letter ? letter.toUpperCase() : small;
  }).join('');
}
defineProperty(String.prototype, 'localeCompare', {
  value: function localeCompare(other) {
    const [one, two] = [String(this), String(other)];
    if (one === two) return 0;
    const [small, otherSmall] = [one.toLowerCase(), two.toLowerCase()];
    return ordered(unaccented(small), unaccented(otherSmall)) || ordered(small, otherSmall)
      || ordered(swapped(one), swapped(two));
  },
  writable: true,
  configurable: true,
});
addMethod(Error.prototype, 'getMessage', function getMessage() { return String(this.message); });
addMethod(Object, 'extend', (target, source) => {
  for (const name in source) target[name] = source[name];
  return target;
});
addMethod(Object, 'clone', (object) => Object.extend({}, object));

function notAvailable(name) {
  return new Error(`not available: ${name}`);
}

publish('j2js', (value) => (value === null || isArray(value) || typeof value !== 'object'
  || typeof value.toArray !== 'function' ? value : value.toArray()));
