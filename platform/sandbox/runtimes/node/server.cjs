'use strict';

// Serves calls. What a handler returns at once is answered at once; promises and streams take their time, several at a
// time where the function allows it.

const { BadResponse } = require('./responses.cjs');
const { describe } = require('./faults.cjs');
const { peakKib } = require('./memory.cjs');
const { Request } = require('./request.cjs');
const {
  CACHE, CALL, CANCEL, CREDIT, END, FAILED, OPEN, PART, PART_BYTES, WHOLE_BYTES, WINDOW_BYTES,
  emptyFrame, headFrame, logFrame, numberFrame, resultFrame, textFrame,
} = require('./protocol.cjs');

const LEVEL_ERROR = 3;

/** A call under way: its request once that is complete, the room for its answer's parts, and whether it was given up. */
class Flight {
  constructor(head) {
    this.head = head;
    this.parts = [];
    this.window = WINDOW_BYTES;
    this.creditCame = null;
    this.cancelled = false;
    this.controller = null;
  }

  /** The AbortController of the call, made when somebody asks for it. */
  signal() {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.cancelled) this.controller.abort();
    }
    return this.controller;
  }
}

class Server {
  constructor(wire, logs, handler, bundle, code, timeoutMs) {
    this.wire = wire;
    this.logs = logs;
    this.handler = handler;
    this.bundle = bundle;
    this.code = code;
    this.timeoutMs = timeoutMs;
    this.flights = new Map();
  }

  take(type, callId, payload) {
    if (type === CALL) {
      const bodyAt = 4 + payload.readUInt32BE(0);
      this.begin(callId, new Flight(null), new Request(payload.subarray(4, bodyAt), payload.subarray(bodyAt), this.timeoutMs));
      return;
    }
    if (type === OPEN) {
      this.flights.set(callId, new Flight(payload));
      return;
    }
    const flight = this.flights.get(callId);
    if (flight === undefined) {
      if (type === CACHE) this.sendCache();
      return;
    }
    if (type === PART) {
      flight.parts.push(payload);
      this.wire.send(numberFrame(CREDIT, callId, payload.length));
    } else if (type === END) {
      const body = Buffer.concat(flight.parts);
      flight.parts = [];
      this.begin(callId, flight, new Request(flight.head, body, this.timeoutMs));
      flight.head = null;
    } else if (type === CREDIT) {
      flight.window += payload.readUInt32BE(0);
      flight.creditCame?.();
    } else if (type === CANCEL) this.cancel(callId, flight);
  }

  begin(callId, flight, request) {
    this.flights.set(callId, flight);
    request.signal = () => flight.signal();
    this.logs.within(callId, () => {
      let value;
      try {
        value = this.handler.call(request);
      } catch (error) {
        this.fail(callId, error);
        return;
      }
      if (value !== null && typeof value === 'object' && typeof value.then === 'function') {
        value.then((result) => this.answer(callId, flight, result), (error) => this.fail(callId, error));
      } else this.answer(callId, flight, value);
    });
  }

  answer(callId, flight, value) {
    try {
      const answer = this.handler.respond(value);
      const head = answer.headers.join('\0');
      const body = answer.body;
      if (typeof body === 'string' ? body.length * 3 <= WHOLE_BYTES : body instanceof Uint8Array && body.length <= WHOLE_BYTES) {
        this.finish(callId);
        this.wire.sendSoon(resultFrame(callId, answer.status, peakKib(), head, body));
      } else this.stream(callId, flight, answer.status, head, body).catch((error) => this.fail(callId, error));
    } catch (error) {
      this.fail(callId, error);
    }
  }

  async stream(callId, flight, status, head, body) {
    if (typeof body === 'string') body = Buffer.from(body);
    const whole = body instanceof Uint8Array;
    this.wire.send(headFrame(callId, status, whole ? body.length : -1, head));
    if (whole) await this.sendChunk(callId, flight, body);
    else {
      for await (const chunk of body) {
        if (flight.cancelled) break;
        await this.sendChunk(callId, flight, bytesOf(chunk));
      }
    }
    this.finish(callId);
    this.wire.send(numberFrame(END, callId, peakKib()));
  }

  async sendChunk(callId, flight, bytes) {
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const part = bytes.subarray(at, at + PART_BYTES);
      while (flight.window < part.length && !flight.cancelled) {
        await new Promise((resolve) => { flight.creditCame = resolve; });
      }
      if (flight.cancelled) throw new Error('The caller went away.');
      flight.window -= part.length;
      const frame = emptyFrame(PART, callId, part.length);
      frame.set(part, 9);
      this.wire.send(frame);
    }
  }

  sendCache() {
    const cache = this.bundle.makeCache();
    for (let at = 0; at < cache.length; at += WHOLE_BYTES) {
      const piece = cache.subarray(at, at + WHOLE_BYTES);
      const frame = emptyFrame(CACHE, 0, piece.length);
      frame.set(piece, 9);
      this.wire.send(frame);
    }
    this.wire.send(emptyFrame(CACHE, 0, 0));
  }

  cancel(callId, flight) {
    flight.cancelled = true;
    flight.creditCame?.();
    flight.controller?.abort();
    if (flight.head !== null) this.fail(callId, new Error('The caller went away.'));
  }

  finish(callId) {
    this.flights.delete(callId);
    this.logs.finish(callId);
  }

  fail(callId, error, ending = false) {
    this.finish(callId);
    this.wire.send(textFrame(FAILED, callId, describe(error, this.code, false, ending)));
  }

  /** What was thrown where nobody could catch it: its call fails, and the process, whose state is unknown, ends. */
  crash(error) {
    const current = this.logs.currentCall();
    const failed = current !== 0 ? [current] : [...this.flights.keys()];
    if (failed.length === 0) this.wire.send(logFrame(0, LEVEL_ERROR, String(error?.stack ?? error)));
    for (const callId of failed) this.fail(callId, error, true);
    process.exit(1);
  }
}

function bytesOf(chunk) {
  if (typeof chunk === 'string') return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new BadResponse(`A stream must yield strings or bytes, not ${chunk === null ? 'null' : typeof chunk}.`);
}

module.exports = { Server };
