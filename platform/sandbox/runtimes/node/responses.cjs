'use strict';

// What a returned value becomes as an HTTP answer:
//
// | value                                           | answer                                                       |
// |-------------------------------------------------|--------------------------------------------------------------|
// | object with statusCode                          | that status, headers, cookies, body, isBase64Encoded         |
// | Response                                        | as it is                                                     |
// | string                                          | text/html if it begins like an HTML document, else text/plain |
// | Buffer, typed array, ArrayBuffer                | application/octet-stream                                     |
// | Blob                                            | its type                                                     |
// | ReadableStream, Node stream, (async) generator  | streamed, application/octet-stream; strings as UTF-8         |
// | null, undefined                                 | 204                                                          |
// | all else                                        | JSON                                                         |

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const HTML_TYPE = 'text/html; charset=utf-8';
const BINARY_TYPE = 'application/octet-stream';
const BODILESS = new Set([204, 205, 304]);

/** A returned value that can't be an HTTP answer. */
class BadResponse extends Error {
  constructor(message) {
    super(message);
    this.name = 'BadResponse';
  }
}

/** An answer: `headers` is name and value in turn; `body` a string, a Uint8Array, or an iterable of either. */
class Answer {
  constructor(status, headers, body) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

function respond(value) {
  if (value === null || value === undefined) return new Answer(204, [], '');
  if (typeof value === 'string') return new Answer(200, ['content-type', isHtml(value) ? HTML_TYPE : TEXT_TYPE], value);
  if (typeof value === 'object') {
    if (value.statusCode !== undefined && !isStream(value)) return fromParts(value);
    if (tagOf(value) === 'Response') return fromResponse(value);
  }
  const [body, type] = bodyOf(value);
  return new Answer(200, ['content-type', type], body);
}

function fromParts(parts) {
  const status = Number(parts.statusCode);
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new BadResponse(`statusCode must be a number from 200 to 599; it is ${String(parts.statusCode)}.`);
  }
  const headers = [];
  addHeaders(headers, parts.headers);
  addHeaders(headers, parts.multiValueHeaders);
  for (const cookie of parts.cookies ?? []) headers.push('set-cookie', String(cookie));
  let body = '';
  let type = null;
  if (parts.isBase64Encoded) {
    if (typeof parts.body !== 'string') throw new BadResponse('isBase64Encoded is set, so body must be a base64 string.');
    body = Buffer.from(parts.body, 'base64');
    type = BINARY_TYPE;
  } else if (parts.body !== null && parts.body !== undefined) [body, type] = bodyOf(parts.body);
  if (BODILESS.has(status)) body = '';
  else if (type !== null && !hasHeader(headers, 'content-type')) headers.push('content-type', type);
  return new Answer(status, headers, body);
}

function addHeaders(headers, given) {
  if (given === null || given === undefined) return;
  if (typeof given !== 'object') throw new BadResponse('headers must be an object of names and values.');
  const entries = typeof given[Symbol.iterator] === 'function' ? given : Object.entries(given);
  for (const entry of entries) {
    if (!Array.isArray(entry)) throw new BadResponse('headers must be an object of names and values.');
    const [name, value] = entry;
    if (value === undefined || value === null) continue;
    for (const item of Array.isArray(value) ? value : [value]) headers.push(String(name).toLowerCase(), String(item));
  }
}

function hasHeader(headers, name) {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return true;
  return false;
}

function fromResponse(response) {
  const headers = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  if (response.status < 200) throw new BadResponse('The Response is an error response.');
  return new Answer(response.status, headers, response.body === null ? '' : response.body);
}

function bodyOf(value) {
  if (typeof value === 'string') return [value, isHtml(value) ? HTML_TYPE : TEXT_TYPE];
  if (ArrayBuffer.isView(value)) {
    return [value instanceof Uint8Array ? value : new Uint8Array(value.buffer, value.byteOffset, value.byteLength), BINARY_TYPE];
  }
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return [new Uint8Array(value), BINARY_TYPE];
  if (typeof value === 'object' && value !== null) {
    if (tagOf(value) === 'Blob' || tagOf(value) === 'File') return [value.stream(), value.type || BINARY_TYPE];
    if (isStream(value)) return [value, BINARY_TYPE];
  }
  return [toJson(value), JSON_TYPE];
}

/** Tells streams, generators and iterators from data that can be iterated, such as arrays and maps. */
function isStream(value) {
  return typeof value[Symbol.asyncIterator] === 'function'
    || (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function');
}

/** By their tag, because to name the global `Response` loads all of fetch, which takes tens of milliseconds. */
function tagOf(value) {
  return value[Symbol.toStringTag];
}

function toJson(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new BadResponse(`The returned value can't be written as JSON: ${error.message.split('\n')[0]}.`);
  }
  if (text === undefined) throw new BadResponse(`The returned ${typeof value} can't be written as JSON.`);
  return text;
}

function isHtml(text) {
  const at = text.search(/\S/);
  return at >= 0 && text[at] === '<' && /^<(!doctype html|html)/i.test(text.slice(at, at + 15));
}

module.exports = { Answer, BadResponse, respond, fromParts, toJson, JSON_TYPE };
