// Starts the game of this page: `pack` in the query is its name, each `arg` one of its arguments; with
// `headless`, the engine draws nothing, and with `whole` it fills the window.
'use strict';

const query = new URLSearchParams(window.location.search);
new Engine({
  args: [...(query.has('headless') ? ['--headless'] : []), '--', ...query.getAll('arg')],
  canvas: document.getElementById('canvas'),
  canvasResizePolicy: query.has('whole') ? 2 : 0,
  executable: '/engine/index',
  focusCanvas: false,
  mainPack: `/pack/${query.get('pack') || 'game'}.pck`,
}).startGame().catch((error) => { console.error(`The game did not start: ${error}`); });
