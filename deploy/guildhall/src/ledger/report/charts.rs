//! Charts as SVG, drawn here: no script, nothing loaded. Text is escaped, and nothing is wider than the page. [core]

use std::fmt::Write as _;

use super::page::escape;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;
/// More points than this are drawn as their maxima.
const POINTS_MAX: usize = 120;
/// More bars than this are left out, the smallest first.
const BARS_MAX: usize = 40;

/// A bar with its name and what is written beside it.
pub struct Bar {
    /// Name.
    pub name: String,
    /// Length, in the unit of the chart.
    pub value: f64,
    /// Written beside it.
    pub text: String,
    /// A limit, marked across the bar.
    pub limit: Option<f64>,
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// At most [`POINTS_MAX`] values, each the largest of its share.
fn thinned(values: &[f64]) -> Vec<f64> {
    let share = values.len().div_ceil(POINTS_MAX).max(1);
    values.chunks(share).map(|chunk| chunk.iter().copied().map(finite).fold(0.0, f64::max)).collect()
}

fn open(title: &str, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"xMidYMid meet\">\
         <title>{title}</title>"
    )
}

fn label(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
}

fn scale(out: &mut String, largest: f64, unit: &str) {
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share);
        let _ =
            write!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        label(out, LEFT - 6.0, y + 4.0, "end", &figure(largest * share));
    }
    label(out, LEFT, HEIGHT - 8.0, "start", unit);
}

fn figure(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.1e}"),
    }
}

/// What was spent so far, release by release, below a limit.
pub fn curve(title: &str, unit: &str, values: &[f64], limit: Option<f64>) -> String {
    let points = thinned(values);
    let largest = points.iter().copied().chain(limit.map(finite)).fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest * 1.05 } else { 1.0 };
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - finite(value) / largest);
    let step = (WIDTH - LEFT) / points.len().max(1) as f64;
    let mut out = open(title, HEIGHT);
    scale(&mut out, largest, unit);
    let mut path = format!("M{LEFT:.1} {:.1}", y(0.0));
    for (place, value) in points.iter().enumerate() {
        let x = LEFT + step * place as f64;
        let _ = write!(path, "L{x:.1} {0:.1}L{1:.1} {0:.1}", y(*value), x + step);
    }
    let _ = write!(path, "L{WIDTH:.1} {:.1}Z", y(0.0));
    let _ = write!(out, "<path class=\"area\" d=\"{path}\"/>");
    if let Some(limit) = limit.filter(|limit| limit.is_finite()) {
        let at = y(limit);
        let _ =
            write!(out, "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        label(&mut out, WIDTH - 4.0, at + 14.0, "end", "budget");
    }
    out + "</svg>"
}

/// One column for each round, or each so many rounds.
pub fn columns(title: &str, unit: &str, values: &[f64]) -> String {
    let points = thinned(values);
    let largest = points.iter().copied().fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest * 1.05 } else { 1.0 };
    let step = (WIDTH - LEFT) / points.len().max(1) as f64;
    let mut out = open(title, HEIGHT);
    scale(&mut out, largest, unit);
    for (place, value) in points.iter().enumerate() {
        let height = (HEIGHT - TOP - BOTTOM) * value / largest;
        let (x, y) = (LEFT + step * place as f64 + step * 0.1, HEIGHT - BOTTOM - height);
        let width = (step * 0.8).min(40.0);
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
    }
    out + "</svg>"
}

/// Named bars, the longest first.
pub fn bars(title: &str, mut bars: Vec<Bar>) -> String {
    const ROW: f64 = 26.0;
    const NAMES: f64 = 190.0;
    const FIGURES: f64 = 210.0;
    bars.sort_by(|a, b| finite(b.value).total_cmp(&finite(a.value)).then_with(|| a.name.cmp(&b.name)));
    bars.truncate(BARS_MAX);
    let largest =
        bars.iter().flat_map(|bar| [Some(bar.value), bar.limit]).flatten().map(finite).fold(0.0, f64::max);
    let width =
        |value: f64| if largest > 0.0 { (WIDTH - NAMES - FIGURES) * finite(value) / largest } else { 0.0 };
    let mut out = open(title, ROW * bars.len().max(1) as f64 + 6.0);
    for (place, bar) in bars.iter().enumerate() {
        let y = ROW * place as f64 + 4.0;
        label(&mut out, NAMES - 8.0, y + 14.0, "end", &shortened(&bar.name));
        let length = width(bar.value);
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{NAMES}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"18\"/>"
        );
        let mut end = length;
        if let Some(limit) = bar.limit {
            let x = NAMES + width(limit);
            end = end.max(width(limit));
            let (top, bottom) = (y - 2.0, y + 20.0);
            let _ = write!(
                out,
                "<line class=\"limit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
            );
        }
        label(&mut out, NAMES + end + 6.0, y + 14.0, "start", &bar.text);
    }
    out + "</svg>"
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 26 { name.to_owned() } else { name.chars().take(25).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_are_drawn_as_few_and_none_is_hidden() {
        let mut values = vec![1.0; 100_000];
        values[77_777] = 9.0;
        let points = thinned(&values);
        assert!(points.len() <= POINTS_MAX);
        assert_eq!(points.iter().copied().fold(0.0, f64::max), 9.0);
        assert!(curve("t", "u", &values, Some(3.0)).len() < 20_000);
        assert!(columns("t", "u", &values).len() < 20_000);
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_without_a_fault() {
        for values in [&[][..], &[0.0], &[f64::NAN, f64::INFINITY, -1.0]] {
            for chart in [curve("t", "u", values, Some(f64::INFINITY)), columns("t", "u", values)] {
                assert!(
                    chart.ends_with("</svg>") && !chart.contains("NaN") && !chart.contains("inf"),
                    "{chart}"
                );
            }
        }
        let bar = |value| Bar { name: "<b>&".into(), value, text: "\"x\"".into(), limit: Some(f64::NAN) };
        let chart = bars("<t>", (0..100).map(|_| bar(f64::INFINITY)).collect());
        assert!(!chart.contains("<b>") && !chart.contains("<t>") && !chart.contains("inf"), "{chart}");
        assert_eq!(chart.matches("<rect").count(), BARS_MAX);
    }
}
