'use strict';

// CloudServe's own shape: `module.exports = fn`, `default`, `handler`, or a plain value in one of these places. The function
// gets the context and may be asynchronous.

const { makeContext } = require('../context.cjs');
const { respond } = require('../responses.cjs');

function find(exported, name, facts) {
  const target = name === null ? choose(exported) : (exported[name] ?? exported.default?.[name]);
  if (target === undefined) return null;
  if (typeof target !== 'function') return { call: () => target, respond };
  return { call: (request) => target(makeContext(request, facts)), respond };
}

function choose(exported) {
  if (typeof exported === 'function') return exported;
  if (exported === null || typeof exported !== 'object') return exported ?? undefined;
  const inner = exported.default;
  if (typeof inner === 'function') return inner;
  const handler = exported.handler ?? inner?.handler;
  if (handler !== undefined) return handler;
  if (inner !== undefined) return isPlain(inner) ? inner : undefined;
  return isPlain(exported) ? exported : undefined;
}

/** Data, and not the exports of a module that has some other purpose. */
function isPlain(value) {
  if (value === null || typeof value !== 'object') return true;
  const values = Object.values(value);
  return Array.isArray(value) || (values.length > 0 && !values.some((item) => typeof item === 'function'));
}

module.exports = { find };
