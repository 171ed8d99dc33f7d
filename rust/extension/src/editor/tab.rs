//! The tab of one debugger session: a line of totals, a table and a plot.

use std::collections::HashMap;

use godot::builtin::{Callable, GString, VarDictionary};
use godot::classes::control::SizeFlags;
use godot::classes::object::ConnectFlags;
use godot::classes::{EditorInterface, HSplitContainer, Label, Timer, Tree, TreeItem, VBoxContainer};
use godot::global::HorizontalAlignment;
use godot::obj::{Gd, NewAlloc, Singleton};

use super::plot::{Plot, bytes};
use super::traffic::{Key, Row, Traffic};

/// The controls belong to the editor, which frees them.
pub(super) struct Tab {
    root: Gd<VBoxContainer>,
    totals: Gd<Label>,
    tree: Gd<Tree>,
    timer: Gd<Timer>,
    plot: Plot,
    traffic: Traffic,
    items: HashMap<Key, Gd<TreeItem>>,
}

impl Tab {
    pub(super) fn new() -> Self {
        let mut root = VBoxContainer::new_alloc();
        root.set_name("WebSocket");
        let mut totals = Label::new_alloc();
        totals.set_text(NOTHING);
        root.add_child(&totals);
        let mut split = HSplitContainer::new_alloc();
        split.set_v_size_flags(SizeFlags::EXPAND_FILL);
        let mut tree = table();
        tree.set_h_size_flags(SizeFlags::EXPAND_FILL);
        tree.set_stretch_ratio(20.0);
        split.add_child(&tree);
        let mut plot = Plot::new();
        plot.control.set_h_size_flags(SizeFlags::EXPAND_FILL);
        split.add_child(&plot.control);
        root.add_child(&split);
        let mut timer = Timer::new_alloc();
        timer.set_wait_time(INTERVAL);
        timer.set_autostart(true);
        root.add_child(&timer);
        let mut tab =
            Self { root, totals, tree, timer, plot, traffic: Traffic::default(), items: HashMap::new() };
        tab.clear();
        tab
    }

    /// Connects `look`, which asks the game, and `draw`, which draws the plot.
    pub(super) fn connect(&mut self, look: &Callable, draw: &Callable) {
        self.timer.connect("timeout", look);
        // Asks at once when the tab is opened. Deferred, because the tab also becomes visible while it is added.
        self.root.connect_flags("visibility_changed", look, ConnectFlags::DEFERRED);
        self.plot.control.connect("draw", draw);
    }

    pub(super) fn control(&self) -> &Gd<VBoxContainer> {
        &self.root
    }

    pub(super) fn is_visible(&self) -> bool {
        self.root.is_instance_valid() && self.root.is_visible_in_tree()
    }

    pub(super) fn clear(&mut self) {
        self.totals.set_text(NOTHING);
        self.tree.clear();
        self.items.clear();
        self.traffic = Traffic::default();
        self.plot.clear();
        // The hidden root; the objects are its children.
        self.tree.create_item();
    }

    pub(super) fn draw(&mut self) {
        self.plot.draw();
    }

    pub(super) fn show(&mut self, report: &VarDictionary) {
        let is_first = self.traffic.is_new();
        let rows = self.traffic.read(report);
        let mut items = HashMap::new();
        for row in &rows {
            let object = self.item(row, None, &mut items);
            for peer in &row.listed {
                self.item(peer, Some(&object), &mut items);
            }
        }
        // Freeing an item frees the items below it.
        for (_, item) in self.items.drain() {
            if item.is_instance_valid() {
                item.free();
            }
        }
        self.items = items;
        let sum = |index: usize| rows.iter().map(|row| row.rates[index]).sum::<f64>();
        let [packets_in, packets_out, bytes_in, bytes_out, relayed] = std::array::from_fn(sum);
        if !is_first {
            self.plot.add(bytes_in, bytes_out);
        }
        let peers: i64 = rows.iter().map(|row| row.peers).sum();
        let suspended = match rows.iter().map(|row| row.suspended).sum() {
            0_i64 => String::new(),
            some => format!(", {some} suspended"),
        };
        let relayed =
            if relayed > 0.0 { format!("    relayed {relayed:.0} packets/s") } else { String::new() };
        self.totals.set_text(&format!(
            "{peers} peers{suspended}    in {packets_in:.0} packets/s, {}/s    out {packets_out:.0} packets/s, {}/s{relayed}",
            bytes(bytes_in),
            bytes(bytes_out),
        ));
    }

    /// Returns the item of a row: the same one as before, so that it stays selected or folded.
    fn item(
        &mut self,
        row: &Row,
        above: Option<&Gd<TreeItem>>,
        items: &mut HashMap<Key, Gd<TreeItem>>,
    ) -> Gd<TreeItem> {
        let known = self.items.remove(&row.key).filter(Gd::is_instance_valid);
        let mut item = known.unwrap_or_else(|| {
            let item = match above {
                Some(above) => self.tree.create_item_ex().parent(above).done(),
                None => self.tree.create_item(),
            };
            let mut item = item.expect("a tree makes an item for each parent of its own");
            for column in 2..COLUMNS.len() as i32 {
                item.set_text_alignment(column, HorizontalAlignment::RIGHT);
            }
            item
        });
        // A row of a peer that has no connection is grey.
        let is_grey = row.dropped.is_none() && row.suspended > 0;
        let grey = self.tree.get_theme_color("font_color").with_alpha(GREY);
        for (column, text) in (0..).zip(cells(row)) {
            // Each change of a text makes the whole tree compute its layout again.
            let text = GString::from(&text);
            if item.get_text(column) != text {
                item.set_text(column, &text);
            }
            if is_grey {
                item.set_custom_color(column, grey);
            } else {
                item.clear_custom_color(column);
            }
        }
        items.insert(row.key, item.clone());
        item
    }
}

fn table() -> Gd<Tree> {
    let mut tree = Tree::new_alloc();
    tree.set_columns(COLUMNS.len() as i32);
    tree.set_column_titles_visible(true);
    tree.set_hide_root(true);
    let scale = EditorInterface::singleton().get_editor_scale();
    for (column, (title, width)) in (0..).zip(COLUMNS) {
        tree.set_column_title(column, title);
        tree.set_column_custom_minimum_width(column, (width * scale) as i32);
        tree.set_column_expand(column, column < 2);
        let side = if column < 2 { HorizontalAlignment::LEFT } else { HorizontalAlignment::RIGHT };
        tree.set_column_title_alignment(column, side);
    }
    tree
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let [packets_in, packets_out, bytes_in, bytes_out, _] = row.rates;
    let hidden = row.peers - row.listed.len() as i64;
    let name = if row.dropped.is_none() {
        row.name.clone()
    } else if hidden > 0 {
        format!("{}: {}, the {} busiest", row.name, row.peers, row.listed.len())
    } else {
        format!("{}: {}", row.name, row.peers)
    };
    let or_nothing =
        |count: i64, show: fn(i64) -> String| if count == 0 { String::new() } else { show(count) };
    let size = |count: i64| bytes(count as f64);
    [
        name,
        row.address.clone(),
        format!("{packets_in:.0}"),
        format!("{packets_out:.0}"),
        bytes(bytes_in),
        bytes(bytes_out),
        or_nothing(row.queued_in, size),
        or_nothing(row.queued_out, size),
        if row.rtt_msec < 0.0 { String::new() } else { format!("{:.1}", row.rtt_msec) },
        or_nothing(row.dropped.unwrap_or_default(), |count| count.to_string()),
        or_nothing(row.resumes, |count| count.to_string()),
    ]
}

/// Titles, and minimum widths at a scale of 1. With the plot they fit into the bottom panel of an editor that is 1600 pixels wide.
const COLUMNS: [(&str, f32); 11] = [
    ("Who", 159.0),
    ("Where", 131.0),
    ("Packets/s in", 91.0),
    ("out", 42.0),
    ("Bytes/s in", 79.0),
    ("out", 66.0),
    ("Waits in", 63.0),
    ("out", 58.0),
    ("RTT ms", 60.0),
    ("Dropped", 68.0),
    ("Resumes", 71.0),
];

/// How much of a colour is left in the row of a peer that may come back.
const GREY: f32 = 0.45;
const NOTHING: &str = "No game is running, or it has no open server or client.";
/// Seconds.
const INTERVAL: f64 = 1.0;
