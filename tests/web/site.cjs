// Serves the page, the engine's web build and the packs.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const path = require('path');

const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.pck': 'application/octet-stream', '.wasm': 'application/wasm',
};

// `folders` has a folder for each first part of a path. The path /strict/ is the page under a content security policy that forbids
// eval and workers of a blob.
function serve(folders, identity) {
  const answer = (request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const [, first, ...rest] = pathname.split('/');
    const headers = { 'cache-control': 'no-cache' };
    let file = path.join(__dirname, first || 'index.html');
    if (first === 'strict') {
      file = path.join(__dirname, 'index.html');
      headers['content-security-policy'] = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws://127.0.0.1:*";
    } else if (folders[first]) {
      file = path.join(folders[first], path.basename(rest.join('/')));
    }
    fs.readFile(file, (error, content) => {
      headers['content-type'] = TYPES[path.extname(file)] || 'text/plain';
      response.writeHead(error ? 404 : 200, headers);
      response.end(content);
    });
  };
  const server = identity ? https.createServer(identity, answer) : http.createServer(answer);
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}

module.exports = { serve };
