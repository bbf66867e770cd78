'use strict';

const FIXED_FIELDS = 6;

/** A call as it came over the wire, before any shape gives it a face. Header names are in lower case. */
class Request {
  constructor(head, body, timeoutMs) {
    const fields = head.utf8Slice(0, head.length).split('\0');
    this.executionId = fields[0];
    this.method = fields[1];
    this.path = fields[2];
    this.query = fields[3];
    this.client = fields[4];
    this.baseUrl = fields[5];
    this.pairs = pairsOf(head, fields);
    this.body = body;
    this.deadline = performance.now() + timeoutMs;
    this.signal = null;
  }

  /** Headers by name; one that came more than once is joined. */
  headers() {
    const headers = {};
    const pairs = this.pairs;
    for (let i = 0; i < pairs.length; i += 2) {
      const name = pairs[i];
      const before = headers[name];
      if (before === undefined) headers[name] = pairs[i + 1];
      else headers[name] = before + (name === 'cookie' ? '; ' : ', ') + pairs[i + 1];
    }
    return headers;
  }
}

/** Names and values of the headers, in turn: Latin-1, where the fields before them are UTF-8. */
function pairsOf(head, fields) {
  if (fields.length <= FIXED_FIELDS) return [];
  if (fields.join('\0').length === head.length) return fields.slice(FIXED_FIELDS); // ASCII, as nearly always
  let at = 0;
  for (let i = 0; i < FIXED_FIELDS; i += 1) at = head.indexOf(0, at) + 1;
  return head.latin1Slice(at, head.length).split('\0');
}

module.exports = { Request };
