'use strict';

// What node:os can't learn within the walls, where /proc shows the worker's own processes alone and there is no network
// interface: as many processors as may be used, of no known model, and no interfaces, in place of none and an error.

const os = require('node:os');
const { syncBuiltinESMExports } = require('node:module');

function install() {
  if (os.cpus().length === 0) os.cpus = processors;
  try {
    os.networkInterfaces();
  } catch {
    os.networkInterfaces = () => ({});
  }
  syncBuiltinESMExports();
}

function processors() {
  return Array.from({ length: os.availableParallelism() }, () => (
    { model: 'unknown', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }));
}

module.exports = { install };
