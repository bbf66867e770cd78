'use strict';

// The shapes a function may have, in the order they are tried; each is one file.
//
// A shape looks at what a module exports and returns a handler {call(request), respond(value)}, or null when the module
// has another shape. A version's `handler` is a hint: SHAPE, EXPORT or SHAPE:EXPORT, where SHAPE is a name of TABLE; a
// dotted EXPORT, as in Lambda's `index.handler`, counts from its last dot.

const { NoHandler } = require('../faults.cjs');

const TABLE = {
  lambda: require('./lambda.cjs').find,
  cloudserve: require('./cloudserve.cjs').find,
};

function findHandler(exported, hint, facts) {
  const [shape, name] = readHint(hint);
  if (name !== null && pick(exported, name) === undefined) {
    throw new NoHandler(`The code does not export \`${name}\`, which the function's \`handler\` setting names.`);
  }
  for (const [candidate, find] of Object.entries(TABLE)) {
    if (shape === null || shape === candidate) {
      const handler = find(exported, name, facts, shape !== null);
      if (handler !== null) return handler;
    }
  }
  throw new NoHandler(
    'The code exports nothing that can be called. Export a function as `module.exports`, `default` or `handler`, or set '
    + "the function's `handler` to the export's name.");
}

function readHint(hint) {
  if (!hint) return [null, null];
  const colon = hint.indexOf(':');
  if (colon < 0) return Object.hasOwn(TABLE, hint) ? [hint, null] : [null, lastPart(hint)];
  const shape = hint.slice(0, colon);
  if (!Object.hasOwn(TABLE, shape)) {
    throw new NoHandler(`The \`handler\` setting names the shape \`${shape}\`; there are ${Object.keys(TABLE).join(', ')}.`);
  }
  return [shape, lastPart(hint.slice(colon + 1)) || null];
}

function lastPart(name) {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** An export by its name, also where a CommonJS bundle has it beneath `default`. */
function pick(exported, name) {
  if (exported === null || exported === undefined) return undefined;
  return exported[name] ?? exported.default?.[name];
}

module.exports = { findHandler };
