// What scripts for Node share: arguments, checks, and an end that the runner understands.
'use strict';

const args = Object.fromEntries(process.argv.slice(2).map((word) => {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
}));

function fail(message) {
  console.log(`CASE FAILED: ${args.name}: ${message}`);
  process.exit(1);
}

function check(condition, message) {
  if (!condition) fail(message);
}

function checkEqual(actual, expected, message) {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  if (a !== b) fail(`${message}: got ${a.slice(0, 200)}, expected ${b.slice(0, 200)}`);
}

// Rejects when `promise` takes too long.
function within(promise, what, seconds = 10) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}

// Runs the case and ends the process.
function run(main) {
  main().then(() => {
    console.log('CASE OK');
    process.exit(0);
  }, (error) => fail(error.stack || String(error)));
}

// Bytes that are easy to compare and differ from place to place.
function pattern(size) {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 31 + (at >> 8)) & 255;
  return bytes;
}

module.exports = { args, check, checkEqual, fail, pattern, port: Number(args.port), run, within };
