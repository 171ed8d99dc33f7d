//! What games send: the same messages in each run, each one a moment later than the one before.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What messages consist of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// Bytes that only tell the message from others.
    Bytes,
    /// The state of a world, as `JSON.stringify()` writes it, with positions that are rounded to hundredths.
    Json,
    /// What `SceneMultiplayer` sends for synchronizers of a `Vector2`: 3 bytes, and 20 for each node.
    Sync,
    /// A map of tiles, 2 bytes each, half of it empty.
    Level,
}

/// Returns messages of this size that follow each other. They are so many that no window of deflate reaches from one to the same one in the
/// next turn. A packet of synchronizers has as many whole nodes as fit, a level is a square.
pub(crate) fn messages(content: Content, size: usize) -> Vec<Vec<u8>> {
    let count = ENOUGH / size.max(1) + 3;
    let mut random = StdRng::seed_from_u64(SEED);
    match content {
        Content::Bytes => Vec::new(),
        Content::Level => (0..count).map(|_| level(&mut random, size)).collect(),
        Content::Json => {
            let total = (size / THING).max(PLAYERS);
            let mut things: Vec<Thing> = (0..total).map(|_| Thing::new(&mut random)).collect();
            let mut state = |tick| {
                things.iter_mut().for_each(|thing| thing.advance(&mut random, 0.05));
                json(&things, &mut random, tick, size)
            };
            (0..count).map(|tick| state(TICK + tick).into_bytes()).collect()
        }
        Content::Sync => {
            let nodes = (size.saturating_sub(SYNC_HEADER) / SYNC_NODE).max(1);
            let mut things: Vec<Thing> = (0..nodes).map(|_| Thing::new(&mut random)).collect();
            let mut state = |frame| {
                things.iter_mut().for_each(|thing| thing.advance(&mut random, 1.0 / 60.0));
                sync(&things, frame)
            };
            (0..count).map(&mut state).collect()
        }
    }
}

/// A player or a monster.
#[derive(Debug)]
struct Thing {
    id: u32,
    name: &'static str,
    item: &'static str,
    position: [f32; 2],
    /// Per second. Some stand still for a while.
    speed: [f32; 2],
    health: u32,
}

impl Thing {
    fn new(random: &mut StdRng) -> Self {
        let mut thing = Self {
            id: random.random_range(100_000..10_000_000),
            name: NAMES[random.random_range(0..NAMES.len())],
            item: ITEMS[random.random_range(0..ITEMS.len())],
            position: [0, 1].map(|_| random.random_range(-2000.0..2000.0)),
            speed: [0.0; 2],
            health: random.random_range(1..=100),
        };
        thing.turn(random);
        thing
    }

    fn turn(&mut self, random: &mut StdRng) {
        let stands = random.random_bool(0.25);
        self.speed = [0, 1].map(|_| if stands { 0.0 } else { random.random_range(-180.0..180.0) });
    }

    fn advance(&mut self, random: &mut StdRng, seconds: f32) {
        for (position, speed) in self.position.iter_mut().zip(self.speed) {
            *position += speed * seconds;
        }
        if random.random_bool(0.02) {
            self.turn(random);
        }
        if random.random_bool(0.01) {
            self.health = random.random_range(1..=100);
        }
    }

    fn json(&self) -> String {
        let Self { id, name, item, position: [x, y], speed, health } = self;
        let anim = if speed == &[0.0; 2] { "idle" } else { "run" };
        format!(
            r#"{{"anim":"{anim}","hp":{health},"id":{id},"item":"{item}","name":"{name}","pos":[{x:.2},{y:.2}]}}"#
        )
    }
}

/// As many things as fit, beginning with any, and a text that fills what is left.
fn json(things: &[Thing], random: &mut StdRng, tick: usize, size: usize) -> String {
    const END: &str = r#"],"text":""#;
    let mut text = format!(r#"{{"tick":{tick},"players":["#);
    let first = random.random_range(0..things.len());
    for (index, thing) in things.iter().cycle().skip(first).take(things.len()).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let thing = thing.json();
        if text.len() + comma.len() + thing.len() + END.len() + 2 > size {
            break;
        }
        text += comma;
        text += &thing;
    }
    text += END;
    while text.len() + 2 < size {
        text += WORDS[random.random_range(0..WORDS.len())];
        text.push(' ');
    }
    text.truncate(size - 2);
    text + r#""}"#
}

/// modules/multiplayer/scene_replication_interface.cpp, `_send_sync`.
fn sync(things: &[Thing], frame: usize) -> Vec<u8> {
    let mut packet = vec![SYNC];
    packet.extend(((frame * 50 / 3) as u16).to_le_bytes());
    for (index, thing) in things.iter().enumerate() {
        packet.extend((index as u32 + 1).to_le_bytes());
        packet.extend((SYNC_NODE as u32 - 8).to_le_bytes());
        packet.extend(VECTOR2.to_le_bytes());
        thing.position.iter().for_each(|part| packet.extend(part.to_le_bytes()));
    }
    packet
}

/// Islands in the void: beaches, grass with flowers, and woods.
fn level(random: &mut StdRng, size: usize) -> Vec<u8> {
    let side = (size / 2).isqrt();
    let grid = side / CELL + 2;
    let heights: Vec<f32> = (0..grid * grid).map(|_| random.random()).collect();
    let mut bytes = Vec::with_capacity(side * side * 2);
    for (y, x) in (0..side * side).map(|tile| (tile / side, tile % side)) {
        let corner = |dx, dy| heights[(y / CELL + dy) * grid + x / CELL + dx];
        let [u, v] = [x, y].map(|at| (at % CELL) as f32 / CELL as f32);
        let upper = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
        let lower = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
        let tile = match upper * (1.0 - v) + lower * v {
            height if height < 0.5 => 0,
            height if height < 0.53 => SAND,
            height if height < 0.7 && random.random_bool(0.9) => GRASS,
            height if height < 0.7 => GRASS + random.random_range(1..8u16),
            _ if random.random_bool(0.6) => WOOD,
            _ => WOOD + random.random_range(1..5u16),
        };
        bytes.extend(tile.to_le_bytes());
    }
    // Raw bytes for `SceneMultiplayer`.
    if let Some(first) = bytes.first_mut() {
        *first = RAW_BYTES;
    }
    bytes
}

/// Four times the largest window, whatever comes before and between.
const ENOUGH: usize = 1 << 20;
const SEED: u64 = 16;
const TICK: usize = 48_213;
/// A message is about some of so many, unless more fit.
const PLAYERS: usize = 24;
/// A thing in JSON has at least so many bytes.
const THING: usize = 70;
const NAMES: [&str; 16] = [
    "Mirelda",
    "Tom",
    "xX_Sniper_Xx",
    "Ana",
    "Bjorn",
    "lucky7",
    "Odette",
    "Grimwald",
    "Kaito",
    "Sam",
    "Ysolde",
    "nightowl",
    "Pip",
    "Rasmus",
    "Vex",
    "Marguerite",
];
const ITEMS: [&str; 12] = [
    "iron_sword",
    "bow",
    "torch",
    "health_potion",
    "rope",
    "oak_shield",
    "fire_wand",
    "pickaxe",
    "lantern",
    "spear",
    "healing_herb",
    "none",
];
const WORDS: [&str; 48] = [
    "behind", "you", "who", "has", "the", "key", "for", "north", "gate", "need", "healing", "wait", "at",
    "bridge", "well", "played", "next", "round", "on", "other", "map", "chest", "was", "empty", "somebody",
    "here", "before", "us", "go", "left", "I", "am", "out", "of", "arrows", "sell", "two", "potions",
    "cheap", "boss", "in", "tower", "no", "way", "lol", "thanks", "meet", "again",
];
/// `MultiplayerAPI`'s command, and the type of a `Vector2`.
const SYNC: u8 = 6;
const VECTOR2: u32 = 5;
const SYNC_HEADER: usize = 3;
const SYNC_NODE: usize = 20;
const RAW_BYTES: u8 = 3;
/// Tiles from one random height to the next.
const CELL: usize = 32;
const SAND: u16 = 16;
const GRASS: u16 = 32;
const WOOD: u16 = 48;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn json_is_json_of_exactly_this_size() {
        for size in [300, 4096, 204_800] {
            for message in messages(Content::Json, size).iter().take(3) {
                assert_eq!(message.len(), size);
                let parsed: serde_json::Value = serde_json::from_slice(message).expect("valid");
                let players = parsed["players"].as_array().expect("a list");
                assert!(players.len() * 130 > size - 150, "{} in {size} bytes", players.len());
                let ids: BTreeSet<_> = players.iter().map(|player| player["id"].as_u64()).collect();
                assert!(ids.len() * 10 > players.len() * 9, "{ids:?}");
            }
        }
    }

    #[test]
    fn packets_of_synchronizers_have_whole_nodes() {
        for (size, nodes) in [(23, 1), (323, 16)] {
            let all = messages(Content::Sync, size);
            assert!(all.iter().all(|packet| packet.len() == 3 + 20 * nodes && packet[0] == SYNC));
            assert_ne!(all[0][15..23], all[40][15..23], "it moves");
        }
    }

    #[test]
    fn a_level_is_half_empty() {
        let all = messages(Content::Level, 2 << 20);
        let empty = all[0].chunks(2).filter(|tile| tile == &[0, 0]).count();
        assert_eq!((all.len(), all[0].len()), (3, 2 << 20));
        assert!((400_000..650_000).contains(&empty), "{empty}");
        assert_ne!(all[0], all[1]);
    }

    #[test]
    fn no_message_comes_again_within_a_window() {
        for (content, size) in [(Content::Json, 300), (Content::Sync, 23), (Content::Json, 204_800)] {
            let all = messages(content, size);
            assert_eq!(all, messages(content, size), "the same in each run");
            let within: BTreeSet<_> = all.iter().take((64 << 10) / size + 1).collect();
            assert_eq!(within.len(), (64 << 10) / size + 1, "{content:?} {size}");
            assert!(all.iter().map(Vec::len).sum::<usize>() > 4 * (64 << 10));
        }
    }
}
