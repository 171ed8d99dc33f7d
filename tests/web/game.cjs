// A running game, in a page or in a native process: orders and answers, and what it prints besides.
'use strict';

const net = require('net');
const { spawn } = require('child_process');

class Game {
  constructor(name) {
    this.name = name;
    this.lines = [];
    this.events = [];
    this.answers = new Map();
    this.count = 0;
    this.watchers = new Set();
  }

  take(text) {
    for (const line of text.split('\n').map((one) => one.replace(/\u001b\[[0-9;]*m/g, ''))) this.takeLine(line);
    this.watchers.forEach((look) => look());
  }

  takeLine(line) {
    if (line.startsWith('ANSWER ')) {
      const answer = JSON.parse(line.slice(7));
      this.answers.get(answer.n)(answer);
      this.answers.delete(answer.n);
    } else if (line.startsWith('EVENT ')) {
      this.events.push(JSON.parse(line.slice(6)));
    } else if (line.trim()) {
      this.lines.push(line);
    }
    if (process.env.WEB_VERBOSE) console.log(`[${this.name}] ${line.slice(0, 300)}`);
  }

  // Resolves with the first result of `look` that is truthy.
  until(look, what, seconds = 20) {
    return new Promise((resolve, reject) => {
      let timer;
      const watcher = () => {
        const found = look();
        if (!found) return;
        clearTimeout(timer);
        this.watchers.delete(watcher);
        resolve(found);
      };
      timer = setTimeout(() => {
        this.watchers.delete(watcher);
        const last = [...this.events.slice(-4).map((event) => JSON.stringify(event)), ...this.lines.slice(-6)];
        reject(new Error(`${this.name}: ${what}: not within ${seconds} s\n    ${last.join('\n    ')}`));
      }, seconds * 1000);
      this.watchers.add(watcher);
      watcher();
    });
  }

  line(pattern, seconds) {
    return this.until(() => this.lines.find((line) => pattern.test(line)), `a line ${pattern}`, seconds);
  }

  event(link, what, seconds) {
    const is = (event) => event.link === link && [].concat(what).includes(event.what);
    return this.until(() => this.events.find(is), `${link}: ${what}`, seconds);
  }

  async order(name, words = {}, seconds = 20) {
    this.count += 1;
    const n = this.count;
    let answer;
    this.answers.set(n, (it) => { answer = it; });
    await this.pass(JSON.stringify({ n, do: name, ...words }));
    return this.until(() => answer, `the answer to ${name}`, seconds);
  }
}

// In a page of the browser.
async function inPage(browser, name, url, started = /^STARTED/) {
  const game = new Game(name);
  game.page = await browser.open(url, (text) => game.take(text));
  game.pass = (order) => game.page.evaluate(`gameOrder(${JSON.stringify(order)})`);
  await game.line(started, 60);
  return game;
}

// Any project in a headless engine.
function start(name, project, words = []) {
  const [program, ...prefix] = JSON.parse(process.env.ENGINE);
  const game = new Game(name);
  const child = spawn(program, [...prefix, '--headless', '--path', project, '--', ...words]);
  game.child = child;
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      if (lines.length > 0) game.take(lines.join('\n'));
    });
  }
  child.on('exit', (code, signal) => { game.take(`ENDED ${code} ${signal}`); });
  return game;
}

// The game of the tests, in a headless engine.
async function native(name, project) {
  const game = start(name, project);
  const port = Number((await game.line(/^STARTED/, 60)).split(' ')[1]);
  const control = net.connect(port, '127.0.0.1');
  await new Promise((resolve, reject) => { control.on('connect', resolve).on('error', reject); });
  control.removeAllListeners('error').on('error', () => {});
  game.pass = (order) => control.write(`${order}\n`);
  return game;
}

module.exports = { inPage, native, start };
