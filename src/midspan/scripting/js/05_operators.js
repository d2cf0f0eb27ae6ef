'use strict';
// What the rewrite (sandbox/rewrite.js) calls in the place of operators: field objects count as the
// text they hold. Whoever makes a field object brands it with `markField`; the brand is a private
// name, which no script can see, forge or trigger.
class Given {
  constructor(object) { return object; }
}

class FieldMark extends Given {
  #read;
  #isBoolean;

  constructor(element, read, isBoolean) {
    super(element);
    this.#read = read;
    this.#isBoolean = isBoolean;
  }

  static is(value) { return #read in value; }
  static text(element) { return element.#read(); }

  // Whether an object counts as true: all do but empty fields, and boolean fields that are false.
  static truth(value) {
    if (!(#read in value)) return true;
    const text = value.#read();
    return value.#isBoolean ? text === 'true' || text === '1' : text !== '';
  }
}

// Brands `element` as a field object. `read` returns its stored text, '' when it is empty.
function markField(element, read, isBoolean) {
  new FieldMark(element, read, isBoolean === true); // eslint-disable-line no-new
  return element;
}

function isObject(value) {
  return typeof value === 'object' && value !== null;
}

function isField(value) {
  return isObject(value) && FieldMark.is(value);
}

function isTrue(value) {
  return isObject(value) ? FieldMark.truth(value) : !!value;
}

// A field compared with what is no field: by its text with another object, by truth with a boolean.
function equalsField(field, other) {
  if (other === null || other === undefined) return FieldMark.text(field) === '';
  if (typeof other === 'boolean') return FieldMark.truth(field) === other;
  if (typeof other === 'object') return FieldMark.text(field) === String(other);
  return field == other; // eslint-disable-line eqeqeq
}

function isEqual(left, right) {
  const isLeft = isField(left);
  const isRight = isField(right);
  if (isLeft && isRight) {
    return left === right || FieldMark.text(left) === FieldMark.text(right);
  }
  if (isLeft) return equalsField(left, right);
  if (isRight) return equalsField(right, left);
  return left == right; // eslint-disable-line eqeqeq
}

// `a || b` is `__ms_test(a) ? __ms_kept() : b`: nothing runs between the two calls.
let keptOperand;

const operators = {
  __ms_true: isTrue,
  __ms_eq: isEqual,
  __ms_test(value) {
    keptOperand = value;
    return isTrue(value);
  },
  __ms_kept() {
    const value = keptOperand;
    keptOperand = undefined;
    return value;
  },
};
for (const name of Object.keys(operators)) {
  Object.defineProperty(globalThis, name, { value: operators[name] });
}

// `Boolean(x)` asks for the truth of a value as `!!x` does.
const truthOf = new Proxy(Boolean, { __proto__: null, apply: (target, self, values) => isTrue(values[0]) });
Object.defineProperty(Boolean.prototype, 'constructor', { value: truthOf, writable: true, configurable: true });
Object.defineProperty(globalThis, 'Boolean', { value: truthOf, writable: true, configurable: true });
