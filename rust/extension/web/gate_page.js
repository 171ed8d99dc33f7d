// The page that the gate lives in: timers that come in time also while it is hidden, what happens to it, and calls while no frame runs.
//
// gate.js, which comes behind this file, has its connections from elsewhere: nothing here knows of sockets.
(function () {
  'use strict';
  // No window: see gate.js.
  if (typeof window === 'undefined' || typeof document === 'undefined' || window.__bwsPage) return;

  const BETWEEN_WAKES = 100;

  // ---- Timers ----

  // In a page that is hidden for minutes, a timer set by a timer that a timer has set comes once per minute (Chromium, WebKit). One set by a
  // message comes once per second.
  const unchained = [];
  let channel = null;

  function later(call, wait) {
    const set = { id: 0, isCancelled: false };
    const begin = () => { if (!set.isCancelled) set.id = setTimeout(call, wait); };
    if (!document.hidden) {
      begin();
      return set;
    }
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => unchained.shift()();
    }
    unchained.push(begin);
    channel.port2.postMessage(0);
    return set;
  }

  function cancel(set) {
    if (!set) return;
    set.isCancelled = true;
    clearTimeout(set.id);
  }

  // ---- What happens to the page ----

  // Calls hidden(), shown() with the time that the page was hidden, wasPutAway() when it comes out of the back/forward cache, and online().
  function watch(watcher) {
    let hiddenAt = -1;

    function onHidden() {
      if (hiddenAt < 0) hiddenAt = Date.now();
      watcher.hidden();
    }

    function onShown() {
      const asleep = hiddenAt < 0 ? 0 : Date.now() - hiddenAt;
      hiddenAt = -1;
      watcher.shown(asleep);
    }

    document.addEventListener('visibilitychange', () => (document.hidden ? onHidden() : onShown()));
    document.addEventListener('freeze', onHidden);
    document.addEventListener('resume', onShown);
    window.addEventListener('pagehide', onHidden);
    window.addEventListener('pageshow', (event) => (event.persisted ? watcher.wasPutAway() : onShown()));
    window.addEventListener('online', () => watcher.online());
  }

  // ---- Calls while the page is hidden ----

  let wake = null;
  let worker = null;
  let interval = 0;

  // Calls the function every 100 ms while the page is hidden; null: no longer.
  function keepAwake(call) {
    wake = call;
    if (!call) {
      if (worker) worker.terminate();
      worker = null;
      clearInterval(interval);
      interval = 0;
    } else if (!worker && !interval) {
      try {
        const url = URL.createObjectURL(new Blob([`setInterval(function () { postMessage(0); }, ${BETWEEN_WAKES});`], { type: 'text/javascript' }));
        worker = new Worker(url);
        URL.revokeObjectURL(url);
        worker.onmessage = whileHidden;
        worker.onerror = wakeByTimer;
      } catch (e) {
        wakeByTimer();
      }
    }
  }

  function whileHidden() {
    if (document.hidden && wake) wake();
  }

  // A page may forbid workers. Its own timer is slower while hidden, once per second or minute.
  function wakeByTimer() {
    if (worker) worker.terminate();
    worker = null;
    if (!interval) interval = setInterval(whileHidden, BETWEEN_WAKES);
  }

  window.__bwsPage = { later, cancel, watch, keepAwake };
}());
