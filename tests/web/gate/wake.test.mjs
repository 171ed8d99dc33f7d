// Waking the game while the page is hidden: only when asked for, and ended with the last connection that asked.
import assert from 'node:assert/strict';
import test from 'node:test';
import { connect, makePage } from './page.mjs';

test('no worker unless asked for', () => {
  const page = makePage();
  connect(page).socket.open();
  page.hide();
  page.clock.advance(60000);
  assert.equal(page.workers.length, 0);
});

test('one worker for two connections, which ends with the second', () => {
  const page = makePage();
  const [a, b] = [connect(page), connect(page)];
  const woken = { a: 0, b: 0 };
  page.gate.wake(a.id, () => { woken.a += 1; });
  page.gate.wake(b.id, () => { woken.b += 1; });
  assert.equal(page.workers.length, 1);
  assert.match(page.workers[0].text, /setInterval\(.*100\)/);
  page.workers[0].onmessage();
  assert.deepEqual(woken, { a: 0, b: 0 }, 'while the page is shown its frames poll');
  page.hide();
  page.workers[0].onmessage();
  assert.deepEqual(woken, { a: 1, b: 1 });
  page.gate.forget(a.id);
  page.workers[0].onmessage();
  assert.deepEqual(woken, { a: 1, b: 2 });
  assert.equal(page.workers[0].ended, false);
  page.gate.wake(b.id, null);
  assert.equal(page.workers[0].ended, true);
  page.gate.wake(b.id, () => { woken.b += 1; });
  assert.equal(page.workers.length, 2);
});

test('a game that fails or leaves when woken does not keep the others asleep', (context) => {
  const page = makePage();
  const [a, b] = [connect(page), connect(page)];
  let woken = 0;
  context.mock.method(console, 'error', () => {});
  page.gate.wake(a.id, () => { page.gate.forget(a.id); throw new Error('of the game'); });
  page.gate.wake(b.id, () => { woken += 1; });
  page.hide();
  page.workers[0].onmessage();
  assert.equal(woken, 1);
});

for (const late of [false, true]) {
  test(`a page that forbids workers is woken by its own timer (${late ? 'an error event' : 'an exception'})`, () => {
    const page = makePage({ workers: late });
    const engine = connect(page);
    let woken = 0;
    page.gate.wake(engine.id, () => { woken += 1; });
    if (late) page.workers[0].onerror();
    page.hide();
    page.clock.advance(1000);
    assert.equal(woken, 10);
    page.gate.forget(engine.id);
    page.clock.advance(1000);
    assert.equal(woken, 10);
    assert.equal(page.clock.timers.size, 0);
  });
}
