'use strict';

// Goes once through what a worker does for its first call, while nobody waits: V8 compiles a function when it is first
// called, and Node takes up parts of itself when they are first needed. Nothing of it stays but what was compiled.

const path = require('node:path');
const { load } = require('./loading.cjs');
const { Logs } = require('./logs.cjs');
const { CALL, FrameReader, READY, emptyFrame, textFrame } = require('./protocol.cjs');
const { Server } = require('./server.cjs');
const { findHandler } = require('./shapes/index.cjs');

const STAGE = path.join(__dirname, 'stage.cjs');
const SPEC = { code: __dirname, entry: 'stage.cjs', handler: null, functionName: 'rehearsal', version: 1, environment: {} };
const HEAD = ['rehearsal', 'POST', '/', '', '127.0.0.1', 'http://localhost', 'content-type', 'application/json'].join('\0');
const BODY = '{"name": "rehearsal"}';

async function rehearse() {
  const nowhere = { send() {}, sendSoon() {} };
  const logs = new Logs(nowhere.send, 1, SPEC.code, 0);
  const spec = JSON.parse(JSON.stringify(SPEC));
  const { exported, bundle, imports } = await load(path.join(spec.code, spec.entry), null);
  delete require.cache[STAGE];
  const handler = await findHandler(exported, spec.handler, spec);
  const server = new Server(nowhere, logs, handler, bundle, spec.code, 1000);
  textFrame(READY, 0, JSON.stringify({ imports }));
  const reader = new FrameReader((type, callId, payload) => server.take(type, callId, payload));
  reader.feed(callFrame());
}

function callFrame() {
  const frame = emptyFrame(CALL, 1, 4 + HEAD.length + BODY.length);
  frame.writeUInt32BE(HEAD.length, 9);
  frame.latin1Write(HEAD + BODY, 13);
  return frame;
}

module.exports = { rehearse };
