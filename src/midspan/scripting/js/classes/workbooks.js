// GlideExcelParser: the rows of an Excel workbook; the host reads it, and gives pages of rows.
(function (shared) {
'use strict';
const { Number, Error, Array } = shared.intrinsics;
const { host, textOf } = shared;

function sourceOf(stream) {
  const source = stream?.[shared.STATE]?.stream;
  if (source === undefined) {
    throw new Error('parse() and setSource() take a stream: GlideSysAttachment.getContentStream(sysId)');
  }
  return source;
}

class GlideExcelParser {
  #source = null;
  #book = null;
  #sheet = 1;
  #name = '';
  #header = 1;
  #empty = null;
  #heads = [];
  #rows = [];
  #at = -1;
  #error = null;

  setSource(stream) {
    this.close();
    this.#source = sourceOf(stream);
  }
  setSheetName(name) { this.#name = textOf(name); }
  setSheetNumber(number) { this.#sheet = Number(textOf(number)) || 1; }
  setHeaderRowNumber(number) { this.#header = Number(textOf(number)) || 1; }
  setNullToEmpty(empty) { this.#empty = empty === true || textOf(empty) === 'true' ? '' : null; }

  // Goes to the sheet; false, and the reason in getErrorMessage(), where that cannot be.
  parse(stream) {
    this.#error = null;
    try {
      if (stream !== undefined && stream !== null) this.setSource(stream);
      const heads = host('workbook.sheet', [this.#opened().number, this.#name || this.#sheet, this.#header]);
      while (heads.length > 0 && heads[heads.length - 1] === null) heads.pop();
      this.#heads = heads.map((head) => head ?? '');
      this.#rows = [];
      this.#at = -1;
      return true;
    } catch (error) {
      this.#heads = [];
      this.#rows = [];
      this.#error = textOf(error.message);
      return false;
    }
  }
  getErrorMessage() { return this.#error; }
  getSheetNames() { return Array.from(this.#opened().sheets); }
  getColumnHeaders() { return Array.from(this.#heads); }

  // Rows without any value are left out.
  next() {
    if (this.#book === null || this.#error !== null) return false;
    for (;;) {
      this.#at += 1;
      if (this.#at >= this.#rows.length) {
        this.#rows = host('workbook.page', [this.#book.number]);
        this.#at = 0;
        if (this.#rows.length === 0) return false;
      }
      if (this.#rows[this.#at].some((cell) => cell !== null)) return true;
    }
  }
  getRow() {
    const cells = this.#rows[this.#at] ?? [];
    const row = {};
    this.#heads.forEach((head, place) => { if (head !== '') row[head] = cells[place] ?? this.#empty; });
    return row;
  }
  close() {
    if (this.#book !== null) host('workbook.close', [this.#book.number]);
    this.#book = null;
    this.#rows = [];
    this.#at = -1;
  }

  #opened() {
    if (this.#source === null) throw new Error('There is no workbook: call setSource(stream) first');
    this.#book ??= host('workbook.open', [this.#source]);
    return this.#book;
  }
}

return { GlideExcelParser };
})
