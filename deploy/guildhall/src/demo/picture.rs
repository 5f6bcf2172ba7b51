//! An SVG of AUC and ε by round, by hand: two axes, two lines, two reference levels.

use std::fmt::Write as _;

/// What the picture shows.
pub struct Picture<'a> {
    /// Macro AUC of the released model after each round, from version 0.
    pub auc: &'a [Option<f64>],
    /// ε spent after each round, from version 0; empty without privacy.
    pub epsilon: &'a [f64],
    /// Macro AUC of the merchants' own models.
    pub local_only: Option<f64>,
    /// Macro AUC of the pooled model.
    pub pooled: Option<f64>,
    /// Under the picture.
    pub caption: &'a str,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 656.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 340.0;

impl Picture<'_> {
    /// The whole SVG document.
    pub fn to_svg(&self) -> String {
        let rounds = self.auc.len().saturating_sub(1).max(1);
        let known = self.auc.iter().copied().chain([self.local_only, self.pooled]).flatten();
        let (low, high) =
            known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low < high { (low - 0.01, high + 0.01) } else { (0.0, 1.0) };
        let epsilon_high = self.epsilon.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let x = |round: usize| LEFT + (RIGHT - LEFT) * round as f64 / rounds as f64;
        let y = |auc: f64| BOTTOM - (BOTTOM - TOP) * (auc - low) / (high - low);
        let y_epsilon = |epsilon: f64| BOTTOM - (BOTTOM - TOP) * epsilon / epsilon_high;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}V{TOP}\" fill=\"none\" stroke=\"#888\"/>\n"
        );
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let level = BOTTOM - (BOTTOM - TOP) * share;
            label(
                &mut svg,
                LEFT - 6.0,
                level + 4.0,
                "end",
                "#1f5fa8",
                &format!("{:.3}", low + (high - low) * share),
            );
            if !self.epsilon.is_empty() {
                label(
                    &mut svg,
                    RIGHT + 6.0,
                    level + 4.0,
                    "start",
                    "#b3541e",
                    &format!("{:.2}", epsilon_high * share),
                );
            }
            let round = (rounds as f64 * share).round() as usize;
            label(&mut svg, x(round), BOTTOM + 18.0, "middle", "#444", &round.to_string());
        }
        label(&mut svg, LEFT, TOP - 12.0, "start", "#1f5fa8", "macro AUC of the released model");
        if !self.epsilon.is_empty() {
            label(&mut svg, RIGHT, TOP - 12.0, "end", "#b3541e", "epsilon spent");
        }
        for (name, level) in [("local only, without privacy", self.local_only), ("pooled", self.pooled)] {
            let Some(level) = level else { continue };
            let at = y(level);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#888\" stroke-dasharray=\"5 4\"/>"
            );
            label(&mut svg, RIGHT - 6.0, at - 4.0, "end", "#444", name);
        }
        let auc: Vec<(f64, f64)> =
            self.auc.iter().enumerate().filter_map(|(round, auc)| Some((x(round), y((*auc)?)))).collect();
        line(&mut svg, &auc, "#1f5fa8");
        let epsilon: Vec<(f64, f64)> =
            self.epsilon.iter().enumerate().map(|(round, epsilon)| (x(round), y_epsilon(*epsilon))).collect();
        line(&mut svg, &epsilon, "#b3541e");
        label(&mut svg, (LEFT + RIGHT) / 2.0, BOTTOM + 36.0, "middle", "#444", "round");
        label(&mut svg, LEFT, HEIGHT - 16.0, "start", "#444", self.caption);
        svg + "</svg>\n"
    }
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str) {
    if points.len() < 2 {
        return;
    }
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_inside_the_axes_and_text_is_escaped() {
        let picture = Picture {
            auc: &[None, Some(0.5), Some(0.7)],
            epsilon: &[0.0, 0.5, 1.0],
            local_only: Some(0.6),
            pooled: None,
            caption: "a < b",
        };
        let svg = picture.to_svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a &lt; b"));
        assert!(svg.contains(&format!("{LEFT:.1},{BOTTOM:.1} ")), "epsilon starts at the origin: {svg}");
    }

    #[test]
    fn nothing_known_is_still_a_picture() {
        let picture = Picture { auc: &[], epsilon: &[], local_only: None, pooled: None, caption: "" };
        assert!(picture.to_svg().ends_with("</svg>\n"));
    }
}
