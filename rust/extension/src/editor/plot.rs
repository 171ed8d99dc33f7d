//! The plot of bytes in and out over the last two minutes.

use std::collections::VecDeque;

use godot::builtin::{Color, GString, PackedVector2Array, Rect2, Vector2};
use godot::classes::Control;
use godot::classes::control::LayoutPreset;
use godot::obj::{Gd, NewAlloc};

/// The curves, and the control on which they are drawn.
pub(super) struct Plot {
    pub(super) control: Gd<Control>,
    /// Bytes per second, in and out; the newest values are last.
    points: VecDeque<[f64; 2]>,
}

impl Plot {
    pub(super) fn new() -> Self {
        let mut control = Control::new_alloc();
        control.set_anchors_preset(LayoutPreset::FULL_RECT);
        control.set_custom_minimum_size(Vector2::new(104.0, 80.0));
        control.set_clip_contents(true);
        Self { control, points: VecDeque::new() }
    }

    pub(super) fn add(&mut self, bytes_in: f64, bytes_out: f64) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back([bytes_in, bytes_out]);
        self.control.queue_redraw();
    }

    pub(super) fn clear(&mut self) {
        self.points.clear();
        self.control.queue_redraw();
    }

    /// Draws the curves, when the control is drawn.
    pub(super) fn draw(&mut self) {
        let size = self.control.get_size();
        let area = Rect2::new(Vector2::ZERO, size);
        self.control.draw_rect(area, BACKGROUND);
        let top = round_up(self.points.iter().flatten().copied().fold(0.0, f64::max));
        for part in 1..4 {
            let y = size.y * part as f32 / 4.0;
            self.control.draw_line(Vector2::new(0.0, y), Vector2::new(size.x, y), GRID);
        }
        let step = size.x / (POINTS - 1) as f32;
        for (which, color) in [(0, IN), (1, OUT)] {
            // The newest point is at the right end.
            let first = POINTS - self.points.len();
            let line: PackedVector2Array = self
                .points
                .iter()
                .enumerate()
                .map(|(index, point)| {
                    let height = (point[which] / top) as f32 * (size.y - 2.0);
                    Vector2::new((first + index) as f32 * step, size.y - 1.0 - height)
                })
                .collect();
            if line.len() > 1 {
                self.control.draw_polyline_ex(&line, color).width(1.5).antialiased(true).done();
            }
        }
        let text = [(format!("{}/s", bytes(top)), TEXT), ("in".to_owned(), IN), ("out".to_owned(), OUT)];
        let Some(font) = self.control.get_theme_default_font() else { return };
        let font_size = self.control.get_theme_default_font_size();
        let mut place = Vector2::new(6.0, font_size as f32 + 2.0);
        for (index, (words, color)) in text.into_iter().enumerate() {
            let words = GString::from(&words);
            self.control.draw_string_ex(&font, place, &words).font_size(font_size).modulate(color).done();
            place.x += font.get_string_size_ex(&words).font_size(font_size).done().x + 14.0;
            if index == 0 {
                // The curves have a line of their own, because the plot is narrow.
                place = Vector2::new(6.0, place.y + font_size as f32 + 4.0);
            }
        }
    }
}

/// Rounds up to 1, 2 or 5 times a power of ten, at least 1000: a scale that is easy to read and does not jump.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1000.0).log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= value).unwrap_or(10.0);
    times * power
}

/// A number of bytes as a short text.
pub(super) fn bytes(count: f64) -> String {
    match count {
        ..1000.0 => format!("{count:.0} B"),
        ..1e6 => format!("{:.1} kB", count / 1e3),
        _ => format!("{:.1} MB", count / 1e6),
    }
}

/// One point per second.
const POINTS: usize = 121;

pub(super) const IN: Color = Color::from_rgb(0.36, 0.78, 0.52);
pub(super) const OUT: Color = Color::from_rgb(0.98, 0.65, 0.30);
const TEXT: Color = Color::from_rgba(1.0, 1.0, 1.0, 0.7);
const GRID: Color = Color::from_rgba(1.0, 1.0, 1.0, 0.08);
const BACKGROUND: Color = Color::from_rgba(0.0, 0.0, 0.0, 0.25);
