// The limit for Node: its own HTTP server.
"use strict";

const http = require("node:http");

const server = http.createServer((_request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end("hello");
});
server.listen(Number(process.argv[2]), "127.0.0.1");
