//! As much of SVG as the charts need. Colours are classes of a style sheet, so that a chart is readable on a light page
//! and, where the reader prefers that, on a dark one; a plotting library would write one set of colours into it.

use std::fmt::{Display, Write};

/// One style for light, one for dark. The series' colours are told apart by people who see few colours (Okabe and Ito).
const STYLE: &str = "\
svg{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;font-size:12px}\
.page{fill:#fff}.ink{fill:#1b1f24}.soft{fill:#57606a}.title{font-size:17px;font-weight:600}.head{font-size:13px;font-weight:600}\
.number{stroke:#fff;stroke-width:3px;stroke-linejoin:round;paint-order:stroke}\
.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#6e7781;stroke-width:1}.whisker{stroke:#1b1f24;stroke-width:1.4}\
.f0{fill:#0072b2}.f1{fill:#e69f00}.f2{fill:#009e73}.f3{fill:#cc79a7}.f4{fill:#8c6d31}\
.l{fill:none;stroke-width:2}.s0{stroke:#0072b2}.s1{stroke:#e69f00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}.s4{stroke:#8c6d31}\
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.number{stroke:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9da7b3}.grid{stroke:#2b323b}.axis{stroke:#7d8590}\
.whisker{stroke:#e6edf3}.f0{fill:#3d9be0}.s0{stroke:#3d9be0}}";

/// How many colours there are for series.
const COLOURS: usize = 5;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture under way; sizes are in pixels, y grows downwards.
#[derive(Debug)]
pub(super) struct Svg {
    out: String,
}

impl Svg {
    /// An empty page; `title` is for those who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut out = String::new();
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n",
            escaped(title)
        );
        out.push_str(&head);
        Self { out }
    }

    fn put(&mut self, element: impl Display) {
        writeln!(self.out, "{element}").expect("a string takes any text");
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
    }

    /// A filled box in the colour of a series.
    pub(super) fn bar(&mut self, series: usize, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let colour = series % COLOURS;
        self.put(format_args!(
            "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// A line through points, each with a dot, in the colour of a series.
    pub(super) fn curve(&mut self, series: usize, points: &[(f64, f64)]) {
        let colour = series % COLOURS;
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!("<polyline class=\"l s{colour}\" points=\"{}\"/>", path.join(" ")));
        for (x, y) in points {
            self.put(format_args!("<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"));
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_element() {
        let mut svg = Svg::new(10.0, 10.0, "a<b & \"c\"");
        svg.text((1.0, 2.0), "ink", Anchor::Start, "</text><script>");
        let text = svg.finish();
        assert!(text.contains("<title>a&lt;b &amp; &quot;c&quot;</title>") && !text.contains("<script>"));
    }
}
