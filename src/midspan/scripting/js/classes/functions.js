// GlideDBFunctionBuilder: writes functions of fields, such as glidefunction:length(u_name).
(function (shared) {
'use strict';
const { Error } = shared.intrinsics;
const { textOf } = shared;

class GlideDBFunctionBuilder {
  #open = []; // the functions that are not ended yet, the innermost last
  #done = '';

  #begin(name) { return this.#open.push({ name, parts: [] }), this; }
  #part(text) {
    if (this.#open.length === 0) throw new Error('Begin a function before its arguments, as in builder.concat().field("number")');
    this.#open[this.#open.length - 1].parts.push(text);
    return this;
  }
  #end() {
    const { name, parts } = this.#open.pop();
    const text = `${name}(${parts.join(',')})`;
    if (this.#open.length === 0) this.#done = text;
    else this.#part(text);
  }

  andFunc() { return this.#begin('and'); }
  orFunc() { return this.#begin('or'); }
  compare() { return this.#begin('compare'); }
  now() { return this.#part('now()'); }
  add() { return this.#begin('add'); }
  coalesce() { return this.#begin('coalesce'); }
  concat() { return this.#begin('concat'); }
  datediff() { return this.#begin('datediff'); }
  dayofweek() { return this.#begin('dayofweek'); }
  divide() { return this.#begin('divide'); }
  greatest() { return this.#begin('greatest'); }
  least() { return this.#begin('least'); }
  length() { return this.#begin('length'); }
  multiply() { return this.#begin('multiply'); }
  position() { return this.#begin('position'); }
  substring() { return this.#begin('substring'); }
  subtract() { return this.#begin('subtract'); }

  field(name) { return this.#part(textOf(name)); }
  constant(value) { return this.#part(`'${textOf(value).replaceAll("'", "''")}'`); }
  endfunc() {
    if (this.#open.length === 0) throw new Error('There is no function that could end');
    return this.#end(), this;
  }
  build() {
    while (this.#open.length > 0) this.#end();
    if (this.#done === '') throw new Error('There is no function to build; begin with one, such as builder.length()');
    return `glidefunction:${this.#done}`;
  }
}

return { GlideDBFunctionBuilder };
})
