'use strict';

// Request bodies, by their content type:
//
// | content type                      | body                                                     |
// |-----------------------------------|----------------------------------------------------------|
// | (nothing sent)                    | null                                                     |
// | application/json, …+json          | the value                                                |
// | application/x-www-form-urlencoded | object; a field that came more than once is an array     |
// | multipart/form-data               | object of fields, and of files {filename, contentType, data} |
// | text/*, XML, JavaScript           | string                                                   |
// | all else                          | Buffer; without a content type, a string when it is UTF-8 |
//
// A body that is not what its type says comes as text (or a Buffer where it is no text), never as an error: the
// function decides what to answer.

const { isUtf8 } = require('node:buffer');

const TEXT_TYPES = new Set([
  'application/xml', 'application/javascript', 'application/graphql', 'application/x-ndjson', 'image/svg+xml',
]);

function kindOf(contentType) {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

function parseBody(raw, contentType) {
  if (raw.length === 0) return null;
  const kind = kindOf(contentType);
  try {
    if (kind === 'application/json' || kind.endsWith('+json')) return JSON.parse(raw.toString('utf8'));
    if (kind === 'application/x-www-form-urlencoded') return collect(new URLSearchParams(raw.toString('utf8')));
    if (kind === 'multipart/form-data') return parseMultipart(raw, contentType);
  } catch {
    return textOrBytes(raw);
  }
  if (kind === '' || isTextKind(kind)) return textOrBytes(raw);
  return raw;
}

/** An object of [name, value] pairs; a name that comes more than once gets an array. */
function collect(pairs) {
  const result = {};
  for (const [name, value] of pairs) {
    if (!Object.hasOwn(result, name)) define(result, name, value);
    else if (Array.isArray(result[name])) result[name].push(value);
    else result[name] = [result[name], value];
  }
  return result;
}

/** Sets a property that a caller named; `__proto__` is a name like any other. */
function define(object, name, value) {
  if (name === '__proto__') {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  } else object[name] = value;
}

function isTextKind(kind) {
  return kind.startsWith('text/') || TEXT_TYPES.has(kind) || kind.endsWith('+xml');
}

function isText(contentType) {
  const kind = kindOf(contentType);
  return isTextKind(kind) || kind === 'application/json' || kind.endsWith('+json')
    || kind === 'application/x-www-form-urlencoded';
}

function textOrBytes(raw) {
  return isUtf8(raw) ? raw.toString('utf8') : raw;
}

/** Reads a form as RFC 7578 has it. Throws when it is none. */
function parseMultipart(raw, contentType) {
  const boundary = parameter(contentType, 'boundary');
  if (!boundary) throw new Error('no boundary');
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  const text = Buffer.concat([Buffer.from('\r\n'), raw]);
  const pairs = [];
  let at = text.indexOf(delimiter);
  if (at < 0) throw new Error('no delimiter');
  for (;;) {
    at += delimiter.length;
    if (text[at] === 0x2d && text[at + 1] === 0x2d) return collect(pairs);
    const end = text.indexOf(delimiter, at);
    const headEnd = text.indexOf('\r\n\r\n', at);
    if (end < 0 || headEnd < 0 || headEnd > end) throw new Error('a part without a head, or no end');
    pairs.push(part(text.toString('utf8', at, headEnd), text.subarray(headEnd + 4, end)));
    at = end;
  }
}

function part(head, data) {
  const headers = {};
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  const disposition = headers['content-disposition'] ?? '';
  const name = parameter(disposition, 'name');
  if (name === undefined) throw new Error('a part without a name');
  const filename = parameter(disposition, 'filename');
  if (filename === undefined) return [name, data.toString('utf8')];
  return [name, { filename, contentType: headers['content-type'] ?? 'application/octet-stream', data }];
}

function parameter(header, name) {
  const match = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, 'i').exec(header);
  return match ? (match[1]?.replace(/\\(.)/g, '$1') ?? match[2]) : undefined;
}

module.exports = { parseBody, collect, isText };
