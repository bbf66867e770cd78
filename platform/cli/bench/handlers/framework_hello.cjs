// For Functions Framework for Node.
"use strict";

exports.hello = (_request, response) => {
  response.send("hello");
};
