//! The picture of a benchmark: how many times better than the engine's class, one bar for each headline.

use std::fmt::Write as _;

use crate::bench_goal::figure;
use crate::bench_report::Headline;

/// Draws the bars on a logarithmic scale, for light and dark pages.
pub(crate) fn picture(lines: &[Headline], below: &str) -> String {
    let most = lines.iter().map(|line| line.ratio).fold(10.0, f64::max);
    let decades = most.log10().ceil().max(1.0);
    let height = TOP + ROW * lines.len() as f64 + BOTTOM;
    let bars_end = TOP + ROW * lines.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{TITLE}\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"34\">{TITLE}</text>\n\
         <text class=\"small\" x=\"{MARGIN}\" y=\"54\">{SUBTITLE}</text>\n",
        WIDTH - 1.0,
        height - 1.0,
    );
    for decade in 0..=decades as u32 {
        let x = LEFT + SPAN * f64::from(decade) / decades;
        let label = figure(10_f64.powi(decade as i32));
        let label = label.split('.').next().unwrap_or_default();
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bars_end}\"/>\n\
             <text class=\"axis\" x=\"{x:.1}\" y=\"{}\">{label} ×</text>",
            TOP - 4.0,
            bars_end + 18.0,
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let share = line.ratio.max(1.0).log10() / decades;
        // A bar without length would look like a mistake.
        let length = (SPAN * share).max(2.0);
        let worse = if line.ratio < 1.0 { " worse" } else { "" };
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{} instead of {}</text>\n\
             <rect class=\"bar{worse}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"4\"/>\n\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{} ×</text>",
            y + 17.0,
            escaped(&sentence(line.name, index, lines)),
            y + 33.0,
            escaped(&line.addon),
            escaped(&line.engine),
            y + (ROW - BAR) / 2.0 - 2.0,
            LEFT + length + 8.0,
            y + ROW / 2.0 + 3.0,
            figure(line.ratio),
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text>\n</svg>",
        height - 16.0,
        escaped(below)
    );
    svg
}

/// Shortens a title that continues the line above it: "... the same" becomes "the same".
fn sentence(name: &str, index: usize, lines: &[Headline]) -> String {
    let Some(rest) = name.strip_prefix("... ") else { return name.to_owned() };
    let before = lines[..index].iter().rev().find(|line| !line.name.starts_with("... "));
    // A comma within a number, as in "1,000 clients", separates nothing.
    let subject =
        before.and_then(|line| line.name.split(": ").next()?.split(", ").next()).unwrap_or_default();
    if subject.is_empty() { rest.to_owned() } else { format!("{subject}: {rest}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const TITLE: &str = "How many times better than the engine’s own class";
const SUBTITLE: &str = "WebSocketServer of this addon against WebSocketMultiplayerPeer: same engine, same script, same load, one run.";
/// The browser selects the colours for light or dark pages.
const STYLE: &str = "\
text{font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:19px;font-weight:600}.name{font-size:13.5px}.value{font-size:13.5px;font-weight:600}\
.small{font-size:11.5px;fill:#59636e}.axis{font-size:11.5px;fill:#59636e;text-anchor:middle}\
.page{fill:#ffffff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;stroke-dasharray:2 3}.bar{fill:#2f7f86}.worse{fill:#b35900}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small,.axis{fill:#9198a1}.page{fill:#0d1117;stroke:#3d444d}\
.grid{stroke:#3d444d}.bar{fill:#4fb3ba}.worse{fill:#e08a3c}}";
const WIDTH: f64 = 880.0;
const MARGIN: f64 = 24.0;
const LEFT: f64 = 408.0;
const SPAN: f64 = 380.0;
const TOP: f64 = 76.0;
const ROW: f64 = 46.0;
const BAR: f64 = 20.0;
const BOTTOM: f64 = 62.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, ratio: f64) -> Headline {
        Headline { name, addon: "1 µs".to_owned(), engine: "<2 µs>".to_owned(), ratio }
    }

    #[test]
    fn bars_grow_with_the_logarithm() {
        let svg = picture(&[line("a", 10.0), line("b", 100.0), line("c", 0.5)], "x");
        let widths: Vec<&str> = svg
            .lines()
            .filter(|line| line.contains("class=\"bar"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(widths, ["190.0", "380.0", "2.0"]);
        assert!(svg.contains("class=\"bar worse\""));
    }

    #[test]
    fn text_is_escaped_and_the_picture_whole() {
        let lines = [line("a, b: c", 2.0), line("... d", 3.0), line("to 1,000: e", 2.0), line("... f", 2.0)];
        let svg = picture(&lines, "1 < 2");
        assert!(svg.contains("&lt;2 µs&gt;") && svg.contains("1 &lt; 2"), "{svg}");
        assert!(svg.contains(">a: d</text>") && svg.contains(">to 1,000: f</text>"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
