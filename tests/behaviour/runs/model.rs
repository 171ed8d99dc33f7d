//! Random traces of everything that clients and games do: what the I/O thread relays reaches each client as if the game had relayed it.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::lists::{define, offering, using};
use super::scene::{Deed, RAW, Scene, relay};
use crate::base::PeerId;
use crate::behaviour::faults::{SEEDS, each_seed};
use crate::behaviour::world::{frame, multiplayer};
use crate::config::{Buffers, PeerConfig};
use crate::wire::godot4::relay_target;

/// The most clients of a trace.
const GUESTS: usize = 5;
const STEPS: usize = 60;

/// One step of a trace; clients are named by number.
#[derive(Clone, Debug)]
enum Step {
    Join,
    Say(usize, Vec<Word>),
    /// The client says this, and then that it leaves, or is cut off.
    Leave(usize, Vec<Word>, bool),
    Work,
    Poll,
    ToggleRelay,
    SwapApi,
    Clear,
    /// The API gets a peer that wraps this one, or this one again.
    Wrap,
}

#[derive(Clone, Debug)]
enum Word {
    ToGame(Deed),
    ToGuest(usize, Vec<u8>),
    /// A relay command with this target.
    ToId(i32),
    Text(usize),
    /// The same packet to several, three times, with a time of its own for each if it is state: a message for part of this list.
    ToSeveral(Several),
}

#[derive(Clone, Debug)]
struct Several {
    list: u8,
    /// A number of a client, and its offset.
    targets: Vec<(usize, u16)>,
    from: usize,
    packet: Vec<u8>,
}

fn several(random: &mut SmallRng) -> Several {
    // One of these is none.
    let mut guests: Vec<_> = (0..=GUESTS).collect();
    guests.shuffle(random);
    guests.truncate(random.random_range(1..=GUESTS));
    let size = [0, 2, 20, 1350, 3000][random.random_range(0..5)];
    let first = [6, 6, 22, 2][random.random_range(0..4)];
    Several {
        list: random.random_range(0..16),
        targets: guests.into_iter().map(|guest| (guest, random.random())).collect(),
        from: random.random_range(0..3),
        packet: [&[first][..], &(0..size).map(|_| random.random()).collect::<Vec<_>>()].concat(),
    }
}

fn word(random: &mut SmallRng, guests: usize) -> Word {
    let guest = random.random_range(0..guests);
    match random.random_range(0..50) {
        40.. => Word::ToSeveral(several(random)),
        0..26 => {
            let size = if random.random_ratio(1, 20) { 5000 } else { random.random_range(1..40) };
            Word::ToGuest(guest, (0..size).map(|_| random.random()).collect())
        }
        26 => Word::ToId([0, 1, -1, 77, i32::MIN][random.random_range(0..5)]),
        27 => Word::Text(guest),
        28..33 => Word::ToGame(Deed::Put(guest)),
        33 => Word::ToGame(Deed::PutToAll),
        34..36 => Word::ToGame(Deed::Poll),
        36 => Word::ToGame(Deed::Wait),
        37 if random.random_ratio(1, 6) => Word::ToGame(Deed::Kick(guest)),
        38 if random.random_ratio(1, 6) => Word::ToGame(Deed::Drop(guest)),
        39 if random.random_ratio(1, 40) => {
            Word::ToGame([Deed::Clear, Deed::SwapApi, Deed::ToggleRelay][random.random_range(0..3)])
        }
        _ => Word::ToGame(Deed::Nothing),
    }
}

fn trace(seed: u64) -> Vec<Step> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut steps = vec![Step::Join, Step::Join, Step::Poll, Step::Work];
    let (mut guests, mut present) = (2, vec![0, 1]);
    while steps.len() < STEPS {
        let words = |random: &mut SmallRng| {
            let count = random.random_range(0..12);
            (0..count).map(|_| word(random, guests)).collect::<Vec<_>>()
        };
        let step = match random.random_range(0..40) {
            0..20 if !present.is_empty() => {
                let guest = present[random.random_range(0..present.len())];
                Step::Say(guest, words(&mut random))
            }
            20 if present.len() > 1 => {
                let guest = present.swap_remove(random.random_range(0..present.len()));
                Step::Leave(guest, words(&mut random), random.random())
            }
            21..23 if guests < GUESTS => {
                present.push(guests);
                guests += 1;
                Step::Join
            }
            23..30 => Step::Work,
            38 if random.random_ratio(1, 3) => Step::ToggleRelay,
            39 if random.random_ratio(1, 3) => {
                [Step::SwapApi, Step::Wrap, Step::Clear][random.random_range(0..3)].clone()
            }
            _ => Step::Poll,
        };
        steps.push(step);
    }
    steps
}

impl Step {
    /// What a client says.
    fn words(&self) -> Option<&[Word]> {
        match self {
            Self::Say(_, words) | Self::Leave(_, words, _) => Some(words),
            _ => None,
        }
    }
}

/// Plays a trace. Returns the scene, whose clients have received everything. `by_lists`: they send one message for several others.
fn play(steps: &[Step], on_io_thread: bool, by_lists: bool) -> Scene {
    // With pauses of reading, the order of packets of different clients would depend on when there is room again.
    let buffers = Buffers { input_bytes: 1 << 24, input_packets: 1 << 16, ..Buffers::default() };
    let mut scene = Scene::new(PeerConfig { buffers, ..multiplayer() }, on_io_thread);
    for step in steps {
        match step {
            Step::Join => {
                scene.join_with(&offering("relay-list; v=1"));
            }
            Step::Say(guest, words) => say(&scene, *guest, words, by_lists),
            Step::Leave(guest, words, closes) => {
                say(&scene, *guest, words, by_lists);
                if *closes {
                    scene.guests[*guest].end.inject(&frame(0x88, &[3, 232]));
                } else {
                    scene.guests[*guest].end.half_close();
                }
            }
            Step::Work => scene.work(),
            Step::Poll => {
                // Both games take the same at the same time.
                scene.work();
                scene.poll();
            }
            Step::ToggleRelay => scene.server_relay = !scene.server_relay,
            Step::SwapApi => scene.swap_api(),
            Step::Clear => scene.connected.clear(),
            Step::Wrap => scene.is_wrapped = !scene.is_wrapped,
        }
    }
    scene.settle();
    scene
}

fn say(scene: &Scene, guest: usize, words: &[Word], by_lists: bool) {
    for word in words {
        let (first, packet) = match word {
            Word::ToGame(deed) => (0x82, deed.packet(&[guest as u8])),
            Word::ToGuest(to, _) | Word::Text(to) if *to >= scene.guests.len() => continue,
            Word::ToGuest(to, packet) => (0x82, scene.relay(*to, packet)),
            Word::ToId(id) => (0x82, relay(PeerId(*id), &[RAW])),
            Word::Text(_) => (0x81, vec![7, 3, 77, 0, 0, 0, 1]),
            Word::ToSeveral(several) => {
                scene.say(guest, &several.messages(scene, guest, by_lists));
                continue;
            }
        };
        scene.guests[guest].end.inject(&frame(first, &packet));
    }
}

impl Several {
    fn messages(&self, scene: &Scene, source: usize, by_lists: bool) -> Vec<Vec<u8>> {
        let id = |guest: usize| scene.guests.get(guest).map_or(PeerId(77), |guest| guest.id);
        let mut list: Vec<_> = Vec::new();
        for (guest, offset) in self.targets.iter().filter(|(guest, _)| *guest != source) {
            let target = (id(*guest), *offset);
            // There is one stranger.
            if list.iter().all(|(other, _)| *other != target.0) {
                list.push(target);
            }
        }
        let Some(part @ [(_, base), ..]) = list.get(self.from..) else { return Vec::new() };
        if by_lists {
            let used = using(self.list, self.from, part.len(), &self.packet);
            return vec![define(self.list, &list), used.clone(), used.clone(), used];
        }
        let single = |(target, offset): &(PeerId, u16)| {
            let mut packet = self.packet.clone();
            if let [6, a, b, ..] = packet.as_mut_slice() {
                let time = u16::from_le_bytes([*a, *b]).wrapping_add(*offset).wrapping_sub(*base);
                [*a, *b] = time.to_le_bytes();
            }
            relay(*target, &packet)
        };
        (0..3).flat_map(|_| part.iter().map(single)).collect()
    }
}

/// The number of the client that has sent a packet for another one, also through the game, or has come or gone.
fn source_of(packet: &[u8]) -> Option<usize> {
    if let [RAW, _, _, source] = packet {
        return Some(usize::from(*source));
    }
    let [7, 1..=3, source @ ..] = packet else { return None };
    usize::try_from(i32::from_le_bytes(*source.first_chunk()?)).ok()
}

/// Leaves out a client that is announced and gone at once. Without lists the game takes its packets for nobody before it hears of its end,
/// and who has joined meanwhile is told of it.
fn lasting(frames: Vec<&(u8, Vec<u8>)>) -> Vec<&(u8, Vec<u8>)> {
    let mut lasting: Vec<&(u8, Vec<u8>)> = Vec::new();
    for frame in frames {
        let is_gone = |last: &&(u8, Vec<u8>)| matches!((&last.1[..], &frame.1[..]), ([7, 1, joined @ ..], [7, 2, left @ ..]) if joined == left);
        if lasting.last().is_some_and(is_gone) {
            lasting.pop();
        } else {
            lasting.push(frame);
        }
    }
    lasting
}

/// Returns whether a client makes the game end another one while others have said something that is not read yet. With lists their turns of
/// reading end elsewhere, so that the game comes to the end sooner or later.
fn ends_among_others(steps: &[Step]) -> bool {
    let is_end = |word: &Word| matches!(word, Word::ToGame(Deed::Kick(_) | Deed::Drop(_)));
    let unread = steps.split(|step| matches!(step, Step::Work | Step::Poll));
    unread.map(|steps| steps.iter().filter_map(Step::words)).any(|said| {
        let said: Vec<_> = said.collect();
        said.len() > 1 && said.iter().any(|words| words.iter().any(is_end))
    })
}

/// How much the game has taken, without packets for clients that nobody is any more: of those, a list has none.
fn taken(scene: &Scene) -> usize {
    let has_target =
        |packet: &&Vec<u8>| relay_target(packet).is_none_or(|target| scene.connected.contains(&target));
    scene.taken.iter().filter(has_target).count()
}

#[test]
fn each_client_receives_what_it_would_if_the_game_relayed() {
    let (mut relayed, mut by_the_game, mut saved, mut compared_lists, mut seeds) = (0, 0, 0, 0, 0);
    each_seed("runs::model", SEEDS, |seed| {
        let steps = trace(seed);
        let there = play(&steps, false, false);
        let (here, by_lists) = (play(&steps, true, false), play(&steps, true, true));
        let there_by_lists = play(&steps, false, true);
        let with_lists = if ends_among_others(&steps) { &[][..] } else { &[&by_lists, &there_by_lists] };
        let compared = with_lists.iter().map(|scene| (*scene, true));
        for (scene, by_source) in compared.chain([(&here, false)]) {
            for guest in 0..there.guests.len() {
                let (is, ought) = (scene.stream(guest), there.stream(guest));
                // Copies end a turn of reading sooner than messages do, so those of different clients may come in another order.
                let sources = if by_source { 0..there.guests.len() } else { 0..1 };
                for source in sources {
                    let of = |frame: &&(u8, Vec<u8>)| {
                        !by_source || source_of(&frame.1).is_none_or(|of| of == source)
                    };
                    let (is, ought): (Vec<_>, Vec<_>) =
                        (is.iter().filter(of).collect(), ought.iter().filter(of).collect());
                    let (is, ought) = if by_source { (lasting(is), lasting(ought)) } else { (is, ought) };
                    let at = is.iter().zip(&ought).take_while(|(is, ought)| is == ought).count();
                    let (is, ought) = (is.get(at), ought.get(at));
                    assert!(is == ought, "client {guest} differs at {at}: {is:?}, not {ought:?}");
                }
            }
            assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
        }
        if !with_lists.is_empty() {
            assert_eq!(taken(&by_lists), taken(&here));
            assert_eq!(taken(&there_by_lists), taken(&there));
            let relayed = |scene: &Scene| scene.peer.statistics().packets_relayed;
            assert_eq!(relayed(&by_lists), relayed(&here));
            compared_lists += 1;
        }
        saved += here.peer.statistics().packets_in as i64 - by_lists.peer.statistics().packets_in as i64;
        let counted = here.peer.statistics();
        relayed += counted.packets_relayed;
        by_the_game += there.taken.len() as u64 - here.taken.len() as u64;
        assert_eq!(there.peer.statistics().packets_relayed, 0);
        // Nothing is left of those that are gone, and no room is taken.
        let paired = here.driver.hub.paired();
        assert!(paired.iter().all(|id| here.peer.has_peer(*id)), "{paired:?}");
        for id in &here.connected {
            let figures = here.peer.peer_statistics(*id).expect("it is connected");
            assert_eq!((figures.queued_in_packets, figures.queued_in_bytes), (0, 0), "{id}");
        }
        seeds += 1;
    });
    assert!(saved > 0, "the lists were used: {saved}");
    assert!(3 * compared_lists >= seeds || seeds == 1, "{compared_lists} of {seeds} compared with lists");
    println!(
        "{seeds} seeds, {compared_lists} with lists: {relayed} packets relayed, {by_the_game} not seen by the game"
    );
    assert!(relayed > 10 * seeds, "{relayed} of {seeds} seeds");
}
