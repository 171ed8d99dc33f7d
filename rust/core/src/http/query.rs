//! The query item in which a page offers what it speaks beyond RFC 6455 (docs/protocol.md). A page can set no header of its request,
//! and a subprotocol that a server does not know would end the connection.

use super::resume::Resumption;

/// What a client offers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    /// Version 1 of the control messages `alive`.
    pub(crate) alive: bool,
    /// Version 1 of `resume`.
    pub(crate) resume: bool,
    /// Version 1 of `relay-list`.
    pub(crate) lists: bool,
    /// The client has a session, and wants it back.
    pub(crate) resumption: Option<Resumption>,
}

/// Takes all items with the name of the offer out of a request target, known or not: a later version is none of the game's business
/// either. All other items stay as they are.
pub(crate) fn take_offers(target: String) -> (String, Offers) {
    let mut offers = Offers::default();
    let Some((path, query)) = target.split_once('?').filter(|(_, query)| query.contains(ITEM)) else {
        return (target, offers);
    };
    let others: Vec<_> = query
        .split('&')
        .filter(|item| {
            let offered = item.strip_prefix(ITEM);
            offers.alive |= offered == Some(ALIVE);
            offers.resume |= offered == Some(RESUME);
            offered.is_none()
        })
        .collect();
    let rest = others.join("&");
    (if others.is_empty() { path.to_owned() } else { format!("{path}?{rest}") }, offers)
}

/// The name of the item.
const ITEM: &str = "godot-multiplayer=";
const ALIVE: &str = "alive.v1";
const RESUME: &str = "resume.v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_taken_out_and_everything_else_stays() {
        for (target, rest) in [
            ("/?godot-multiplayer=alive.v1", "/"),
            ("/lobby?godot-multiplayer=alive.v1", "/lobby"),
            ("/lobby?a=1&godot-multiplayer=alive.v1", "/lobby?a=1"),
            ("/lobby?godot-multiplayer=alive.v1&b", "/lobby?b"),
            ("/lobby?a=1&godot-multiplayer=alive.v1&b=%26&a=2", "/lobby?a=1&b=%26&a=2"),
            ("/?godot-multiplayer=alive.v1&godot-multiplayer=alive.v1", "/"),
            ("/?x=?&godot-multiplayer=alive.v1&&y=&godot-multiplayer=alive.v1&", "/?x=?&&y=&"),
            ("/?&godot-multiplayer=alive.v1", "/?"),
            ("/?godot-multiplayer=alive.v2&godot-multiplayer=alive.v1&godot-multiplayer=", "/"),
        ] {
            let (taken, offers) = take_offers(target.to_owned());
            assert_eq!((taken.as_str(), offers.alive), (rest, true), "{target}");
        }
    }

    #[test]
    fn each_offer_is_an_item_of_its_own() {
        for (query, alive, resume) in [
            ("godot-multiplayer=alive.v1&a&godot-multiplayer=resume.v1", true, true),
            ("godot-multiplayer=resume.v1&a", false, true),
            ("a&godot-multiplayer=alive.v1", true, false),
        ] {
            let (rest, offers) = take_offers(format!("/?{query}"));
            assert_eq!((rest.as_str(), offers.alive, offers.resume), ("/?a", alive, resume), "{query}");
        }
    }

    #[test]
    fn another_version_is_taken_out_too_and_is_no_offer() {
        for version in [
            "alive.v2",
            "alive.v10",
            "alive.v1+",
            "alive",
            "ALIVE.V1",
            "alive.v1=",
            "resume.v2",
            "resume.v11",
            "resume",
            "alive.v1,resume.v1",
            "",
        ] {
            let (rest, offers) = take_offers(format!("/a?b&godot-multiplayer={version}"));
            assert_eq!((rest.as_str(), offers.alive, offers.resume), ("/a?b", false, false), "{version}");
        }
    }

    #[test]
    fn what_only_looks_like_an_offer_is_the_games() {
        for target in [
            "/godot-multiplayer=alive.v1",
            "/?godot-multiplayer",
            "/?xgodot-multiplayer=alive.v1",
            "/?godot-multiplayer2=alive.v1",
            "/?Godot-Multiplayer=alive.v1",
            "/?godot%2Dmultiplayer=alive.v1",
            "/?next=/?godot-multiplayer=alive.v1",
            "/?a;godot-multiplayer=alive.v1",
        ] {
            let (rest, offers) = take_offers(target.to_owned());
            assert_eq!((rest.as_str(), offers.alive), (target, false));
        }
    }
}
