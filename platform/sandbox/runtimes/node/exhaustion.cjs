'use strict';

// Errors that mean a limit of the worker, told from those that are the function's own.

const fs = require('node:fs');

const REASONS = {
  EMFILE: 'open-files',
  ENFILE: 'open-files',
  EFBIG: 'file-too-large',
  ENOMEM: 'out-of-memory',
  ERR_MEMORY_ALLOCATION_FAILED: 'out-of-memory',
};

/** Returns the reason of a fault, with its figures where there are some; empty for any other error. */
function limitOf(error) {
  if (error === null || typeof error !== 'object') return {};
  const { code, syscall } = error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return disk();
  if (code === 'EAGAIN' && typeof syscall === 'string' && syscall.startsWith('spawn')) return { reason: 'processes' };
  if (code === 'ERR_WORKER_INIT_FAILED') return { reason: 'processes' };
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') return { reason: 'out-of-memory' };
  return Object.hasOwn(REASONS, code) ? { reason: REASONS[code] } : {};
}

/** Tells by the file system of the worker's folder which of the two it lacks. */
function disk() {
  try {
    const told = fs.statfsSync(process.cwd());
    if (told.files > 0 && told.ffree === 0) return { reason: 'inodes', used: told.files - told.ffree, size: told.files };
    return { reason: 'disk-full', used: (told.blocks - told.bfree) * told.bsize, size: told.blocks * told.bsize };
  } catch {
    return { reason: 'disk-full' };
  }
}

module.exports = { limitOf };
