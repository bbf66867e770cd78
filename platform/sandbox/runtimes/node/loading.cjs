'use strict';

// Loads a function's module and says what its imports cost.

const Module = require('node:module');
const { pathToFileURL } = require('node:url');
const { Bundle } = require('./bundle.cjs');

const SLOWEST = 5;

/**
 * Loads the entry file, with its code cache where there is one; returns its exports, its bundle, and the slowest imports
 * as [name, milliseconds], slowest first.
 */
async function load(file, cache) {
  const times = timeRequires();
  const bundle = new Bundle();
  const release = bundle.intercept(file, cache);
  try {
    return { exported: await loadFile(file), bundle, imports: times.slowest() };
  } finally {
    release();
    times.stop();
  }
}

async function loadFile(file) {
  if (file.endsWith('.mjs')) return import(pathToFileURL(file).href);
  try {
    return Module.createRequire(file)(file);
  } catch (error) {
    if (error?.code !== 'ERR_REQUIRE_ESM') throw error;
    return import(pathToFileURL(file).href);
  }
}

/** Times the first `require` of each package and built-in module, with all that it requires itself. */
function timeRequires() {
  const plain = Module.prototype.require;
  const taken = new Map();
  Module.prototype.require = function require(id) {
    const name = packageOf(id);
    if (name === null || taken.has(name)) return plain.call(this, id);
    taken.set(name, 0);
    const begin = performance.now();
    try {
      return plain.call(this, id);
    } finally {
      taken.set(name, Math.round((performance.now() - begin) * 1000) / 1000);
    }
  };
  return {
    slowest: () => [...taken].sort((one, other) => other[1] - one[1]).slice(0, SLOWEST),
    stop: () => { Module.prototype.require = plain; },
  };
}

/** `@scope/name` of `@scope/name/part`; null for a file. */
function packageOf(id) {
  if (typeof id !== 'string' || id.startsWith('.') || id.startsWith('/')) return null;
  return id.split('/', id.startsWith('@') ? 2 : 1).join('/');
}

module.exports = { load };
