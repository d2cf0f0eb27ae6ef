// JSON can also be made: `new JSON().encode(o)`, as scripts before ES5 do.
class LegacyJSON {
  encode(value) { return toJsonText(value); }
  decode(text) { return parseJson(textOf(text)); }
  stringify(value) { return toJsonText(value); }
  parse(text) { return parseJson(textOf(text)); }
}

function callableJson() { return new LegacyJSON(); }

for (const name of ['parse', 'stringify']) {
  defineProperty(callableJson, name, { value: JSON[name], writable: true, configurable: true });
}
defineProperty(callableJson, 'name', { value: 'JSON', configurable: true });
defineProperty(callableJson, 'prototype', { value: LegacyJSON.prototype, writable: false });
defineProperty(callableJson, Symbol.toStringTag, { value: 'JSON', configurable: true });
publish('JSON', callableJson);
