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
