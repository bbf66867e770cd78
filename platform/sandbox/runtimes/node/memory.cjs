'use strict';

// A worker's own view of its memory: the peak of what it holds beyond what the bare runtime held, in KiB.

const fs = require('node:fs');

const PAGE_KIB = 4;
let bare = 0;

/** Takes note of what the runtime holds by itself; called once, before user code is loaded. */
function leaveOutRuntime() {
  bare = Number(fs.readFileSync('/proc/self/statm', 'latin1').split(' ')[1]) * PAGE_KIB;
}

function peakKib() {
  return Math.max(0, process.resourceUsage().maxRSS - bare);
}

module.exports = { leaveOutRuntime, peakKib };
