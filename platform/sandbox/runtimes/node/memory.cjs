'use strict';

// A worker's own view of its memory: the peak of what it holds alone, in KiB. Pages of Node's own file are shared among
// all workers and not counted.

const fs = require('node:fs');

const PAGE_KIB = 4;
const shared = Number(fs.readFileSync('/proc/self/statm', 'latin1').split(' ')[2]) * PAGE_KIB;

function peakKib() {
  return Math.max(0, process.resourceUsage().maxRSS - shared);
}

module.exports = { peakKib };
