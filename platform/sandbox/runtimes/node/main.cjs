'use strict';

// A worker: a blank process that becomes one version, once, and then serves its calls. Its socket is descriptor 3.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { describe } = require('./faults.cjs');
const { load } = require('./loading.cjs');
const { Logs } = require('./logs.cjs');
const { leaveOutRuntime } = require('./memory.cjs');
const { FrameReader, HELLO, READY, REFUSED, SPECIALISE, emptyFrame, textFrame } = require('./protocol.cjs');
const { findHandler } = require('./shapes/index.cjs');
const { Server } = require('./server.cjs');
const system = require('./system.cjs');

const WORKER_FD = 3;

function main() {
  system.install();
  const socket = new net.Socket({ fd: WORKER_FD, readable: true, writable: true });
  let server = null;
  const reader = new FrameReader((type, callId, payload) => {
    if (server !== null) server.take(type, callId, payload);
    else if (type === SPECIALISE) specialise(socket, JSON.parse(payload.toString('utf8'))).then((made) => { server = made; });
  });
  socket.on('data', (data) => reader.feed(data));
  socket.on('end', () => process.exit(0));
  socket.on('error', () => process.exit(0));
  socket.write(emptyFrame(HELLO, 0, 0));
}

async function specialise(socket, spec) {
  const begin = performance.now();
  leaveOutRuntime();
  const send = (frame) => socket.write(frame);
  const home = process.cwd();
  Object.assign(
    process.env, { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home, TMPDIR: home, LANG: 'C.UTF-8' }, spec.environment);
  const logs = new Logs(send, spec.concurrency, spec.code, spec.logBytes);
  logs.install();
  try {
    const file = path.join(spec.code, spec.entry);
    if (fs.existsSync(`${file}.map`)) process.setSourceMapsEnabled(true);
    const { exported, imports } = await load(file);
    const handler = await findHandler(exported, spec.handler, spec);
    const server = new Server(send, logs, handler, spec.code, spec.timeoutSeconds * 1000);
    process.on('uncaughtException', (error) => server.crash(error));
    send(textFrame(READY, 0, JSON.stringify({ loadMs: performance.now() - begin, imports })));
    return server;
  } catch (error) {
    socket.end(textFrame(REFUSED, 0, describe(error, spec.code, true)), () => process.exit(1));
    return null;
  }
}

main();
