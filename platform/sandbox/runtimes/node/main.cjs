'use strict';

// A worker: a blank process that becomes one version, once, and then serves its calls. Its socket is descriptor 3.

const fs = require('node:fs');
const path = require('node:path');
const { describe } = require('./faults.cjs');
const { load } = require('./loading.cjs');
const { Logs } = require('./logs.cjs');
const { leaveOutRuntime } = require('./memory.cjs');
const { CACHE, HELLO, READY, REFUSED, SPECIALISE, emptyFrame, textFrame } = require('./protocol.cjs');
const { rehearse } = require('./rehearsal.cjs');
const { findHandler } = require('./shapes/index.cjs');
const { Server } = require('./server.cjs');
const system = require('./system.cjs');
const { Wire } = require('./wire.cjs');

const WORKER_FD = 3;

function main() {
  system.install();
  let server = null;
  let cache = null;
  const wire = new Wire(WORKER_FD, (type, callId, payload) => {
    if (server !== null) server.take(type, callId, payload);
    else if (type === CACHE) cache = payload;
    else if (type === SPECIALISE) {
      specialise(wire, JSON.parse(payload.toString('utf8')), cache).then((made) => { server = made; });
      cache = null;
    }
  });
  rehearse().then(() => wire.send(emptyFrame(HELLO, 0, 0)));
}

async function specialise(wire, spec, cache) {
  const begin = performance.now();
  leaveOutRuntime();
  const send = (frame) => wire.send(frame);
  const home = process.cwd();
  Object.assign(
    process.env, { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home, TMPDIR: home, LANG: 'C.UTF-8' }, spec.environment);
  const logs = new Logs(send, spec.concurrency, spec.code, spec.logBytes);
  logs.install();
  try {
    const file = path.join(spec.code, spec.entry);
    if (fs.existsSync(`${file}.map`)) process.setSourceMapsEnabled(true);
    const { exported, bundle, imports } = await load(file, cache);
    const handler = await findHandler(exported, spec.handler, spec);
    const server = new Server(wire, logs, handler, bundle, spec.code, spec.timeoutSeconds * 1000);
    process.on('uncaughtException', (error) => server.crash(error));
    send(textFrame(READY, 0, JSON.stringify({ loadMs: performance.now() - begin, imports, code: bundle.code })));
    return server;
  } catch (error) {
    wire.end(textFrame(REFUSED, 0, describe(error, spec.code, true)));
    return null;
  }
}

main();
