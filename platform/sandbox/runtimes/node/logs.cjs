'use strict';

// Catches what user code prints, per call and with its level. A line belongs to the call in whose asynchronous context it
// was written; outside any, to the only call under way; else to the worker itself (call id 0). Only functions that take
// several calls at once pay for the asynchronous context. A call keeps `maxBytes` of text, of which a line takes
// LEAST_LINE_BYTES at least; the rest is dropped, counted and said to be.

const { Writable } = require('node:stream');
const { inUserTerms } = require('./faults.cjs');
const { CUT_OFF, LEVELS, logFrame } = require('./protocol.cjs');

const LEAST_LINE_BYTES = 64;
const LEVEL_OF_METHOD = { log: 'info', info: 'info', debug: 'debug', warn: 'warn', error: 'error', trace: 'error' };

class CallLog {
  constructor(callId, room) {
    this.callId = callId;
    this.openLines = {};
    this.room = room;
    this.dropped = 0;
  }
}

class Logs {
  constructor(send, concurrency, code, maxBytes) {
    this.maxBytes = maxBytes;
    this.send = send;
    this.code = code;
    this.calls = new Map();
    this.worker = new CallLog(0, maxBytes);
    this.level = null;
    this.storage = null;
    if (concurrency > 1) {
      const { AsyncLocalStorage } = require('node:async_hooks');
      this.storage = new AsyncLocalStorage();
    }
  }

  /** Takes the place of the standard streams and gives each method of console its level. */
  install() {
    for (const [name, level] of [['stdout', 'info'], ['stderr', 'error']]) {
      const stream = new Writable({ decodeStrings: false, write: (chunk, encoding, done) => done() });
      stream.write = (chunk, encoding, done) => {
        this.write(level, typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
        const callback = typeof encoding === 'function' ? encoding : done;
        if (typeof callback === 'function') process.nextTick(callback);
        return true;
      };
      Object.defineProperty(process, name, { value: stream, configurable: true, enumerable: true });
    }
    for (const [method, level] of Object.entries(LEVEL_OF_METHOD)) {
      const plain = console[method];
      console[method] = (...values) => {
        const before = this.level;
        this.level = level;
        try {
          plain.apply(console, values);
        } finally {
          this.level = before;
        }
      };
    }
  }

  /** Runs a function in the context of a call, whose log begins here. */
  within(callId, run) {
    const log = new CallLog(callId, this.maxBytes);
    this.calls.set(callId, log);
    return this.storage === null ? run() : this.storage.run(log, run);
  }

  finish(callId) {
    const log = this.calls.get(callId);
    if (log === undefined) return;
    for (const [level, text] of Object.entries(log.openLines)) this.line(log, level, text);
    if (log.dropped > 0) this.send(logFrame(callId, CUT_OFF, String(log.dropped)));
    this.calls.delete(callId);
  }

  /** The call in whose context this runs, 0 outside of any. */
  currentCall() {
    return this.owner().callId;
  }

  owner() {
    const log = this.storage?.getStore();
    if (log !== undefined && this.calls.has(log.callId)) return log;
    if (this.calls.size === 1) return this.calls.values().next().value;
    return this.worker;
  }

  write(level, text) {
    const log = this.owner();
    if (this.level !== null) { // one call of a console method is one entry
      const entry = text.endsWith('\n') ? text.slice(0, -1) : text;
      this.line(log, this.level, entry.includes('\n    at ') ? inUserTerms(entry, this.code) : entry);
      return;
    }
    const lines = ((log.openLines[level] ?? '') + text).split('\n');
    const rest = lines.pop();
    for (const line of lines) this.line(log, level, line);
    if (rest === '') delete log.openLines[level];
    else log.openLines[level] = rest;
  }

  line(log, level, text) {
    if (log.room <= 0) {
      this.drop(log, Math.max(text.length + 1, LEAST_LINE_BYTES));
      return;
    }
    const kept = text.length > log.room ? text.slice(0, log.room) : text;
    log.room -= Math.max(kept.length + 1, LEAST_LINE_BYTES);
    this.send(logFrame(log.callId, LEVELS.indexOf(level), kept));
    if (kept.length < text.length) this.drop(log, text.length - kept.length);
  }

  /** Counts what is not kept. It is said at once, as a call may not live to say it, and again with the end. */
  drop(log, size) {
    if (log.callId !== 0 && log.dropped === 0) this.send(logFrame(log.callId, CUT_OFF, String(size)));
    log.dropped += size;
  }
}

module.exports = { Logs };
