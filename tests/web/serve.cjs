// Serves a game for people. Arguments: engine=, packs=.
'use strict';

const { serve } = require('./site.cjs');

const args = Object.fromEntries(process.argv.slice(2).map((word) => word.split('=')));

serve({ engine: args.engine, pack: args.packs }).then((port) => { console.log(`SITE ${port}`); });
