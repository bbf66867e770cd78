// For CloudServe: a function with a native addon; it says how long the addon took to load.
"use strict";

const begin = performance.now();
const bcrypt = require("bcrypt");
const importMs = performance.now() - begin;

const HASH = "$2b$12$abcdefghijklmnopqrstuuWZqOCMq0cRrmzkNxI2hK8Yb3mTzLQuK";

module.exports = () => {
  if (bcrypt.getRounds(HASH) !== 12) throw new Error("the addon does not work");
  return { statusCode: 200, headers: { "x-import-ms": importMs.toFixed(3) }, body: "hello" };
};
