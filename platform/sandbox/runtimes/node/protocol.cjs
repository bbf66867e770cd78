'use strict';

// The wire format of cloudserve.sandbox.protocol, whose docstring is its definition.

const HELLO = 1;
const SPECIALISE = 2;
const READY = 3;
const REFUSED = 4;
const CALL = 5;
const OPEN = 6;
const RESULT = 7;
const HEAD = 8;
const PART = 9;
const END = 10;
const CREDIT = 11;
const CANCEL = 12;
const FAILED = 13;
const LOG = 14;
const CACHE = 15;

const PART_BYTES = 64 * 1024;
const WINDOW_BYTES = 1024 * 1024;
const WHOLE_BYTES = 1024 * 1024;
const HEADER_BYTES = 9;
const CUT_OFF = 255;
const LEVELS = ['debug', 'info', 'warn', 'error'];

/** Makes frames of bytes that arrive in chunks of any size, and hands each to `take(type, callId, payload)`. */
class FrameReader {
  constructor(take) {
    this.take = take;
    this.chunks = [];
    this.have = 0;
    this.need = HEADER_BYTES;
  }

  feed(data) {
    if (this.chunks.length > 0) {
      this.chunks.push(data);
      this.have += data.length;
      if (this.have < this.need) return;
      data = Buffer.concat(this.chunks, this.have);
      this.chunks = [];
    }
    let at = 0;
    while (data.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + data.readUInt32BE(at);
      if (end > data.length) {
        this.keep(data.subarray(at), end - at);
        return;
      }
      this.take(data[at + 4], data.readUInt32BE(at + 5), data.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    if (at < data.length) this.keep(data.subarray(at), HEADER_BYTES);
  }

  keep(rest, need) {
    this.chunks = [rest];
    this.have = rest.length;
    this.need = need;
  }
}

/** Returns a frame whose payload is left for the caller to fill, from offset 9 on. */
function emptyFrame(type, callId, size) {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + size);
  frame.writeUInt32BE(size, 0);
  frame[4] = type;
  frame.writeUInt32BE(callId, 5);
  return frame;
}

function textFrame(type, callId, text) {
  const frame = emptyFrame(type, callId, Buffer.byteLength(text));
  frame.utf8Write(text, HEADER_BYTES);
  return frame;
}

function numberFrame(type, callId, value) {
  const frame = emptyFrame(type, callId, 4);
  frame.writeUInt32BE(value, HEADER_BYTES);
  return frame;
}

/** One frame for an ordinary answer. `body` is a string of UTF-8 or bytes. */
function resultFrame(callId, status, peakKib, head, body) {
  const text = typeof body === 'string';
  const bodyBytes = text ? Buffer.byteLength(body) : body.length;
  const frame = emptyFrame(RESULT, callId, 10 + head.length + bodyBytes);
  frame.writeUInt16BE(status, 9);
  frame.writeUInt32BE(peakKib, 11);
  frame.writeUInt32BE(head.length, 15);
  frame.latin1Write(head, 19);
  if (text) frame.utf8Write(body, 19 + head.length);
  else frame.set(body, 19 + head.length);
  return frame;
}

/** The head of a streamed answer; `length` is -1 where it is not known. */
function headFrame(callId, status, length, head) {
  const frame = emptyFrame(HEAD, callId, 10 + head.length);
  frame.writeUInt16BE(status, 9);
  frame.writeBigUInt64BE(BigInt(length + 1), 11);
  frame.latin1Write(head, 19);
  return frame;
}

function logFrame(callId, level, text) {
  const frame = emptyFrame(LOG, callId, 9 + Buffer.byteLength(text));
  frame[9] = level;
  frame.writeDoubleBE(Date.now() / 1000, 10);
  frame.utf8Write(text, 18);
  return frame;
}

module.exports = {
  HELLO, SPECIALISE, READY, REFUSED, CALL, OPEN, RESULT, HEAD, PART, END, CREDIT, CANCEL, FAILED, LOG, CACHE,
  PART_BYTES, WINDOW_BYTES, WHOLE_BYTES, HEADER_BYTES, CUT_OFF, LEVELS,
  FrameReader, emptyFrame, textFrame, numberFrame, resultFrame, headFrame, logFrame,
};
