//! Pictures of measurements, as SVG.

use std::fmt::Write as _;

/// A picture that lines and labels are added to. Places are pixels, from the upper left.
#[derive(Debug)]
pub struct Canvas {
    svg: String,
}

impl Canvas {
    /// An empty one.
    #[must_use]
    pub fn new((width, height): (f64, f64)) -> Self {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        Self { svg }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _written: bool = self.svg.write_fmt(element).is_ok();
        self.svg.push('\n');
    }

    /// What is added until [`Self::end`] counts from `place` on.
    pub fn begin(&mut self, (x, y): (f64, f64)) {
        self.add(format_args!("<g transform=\"translate({x},{y})\">"));
    }

    /// See [`Self::begin`].
    pub fn end(&mut self) {
        self.add(format_args!("</g>"));
    }

    /// A line of the grid.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
        ));
    }

    /// A small text; `anchor` is `start`, `middle` or `end`.
    pub fn label(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// The title of a panel.
    pub fn title(&mut self, text: &str) {
        self.add(format_args!("<text x=\"0\" y=\"-10\" font-weight=\"bold\">{text}</text>"));
    }

    /// The name of a series beside its colour.
    pub fn legend(&mut self, x: f64, colour: &str, name: &str) {
        let text_x = x + 20.0;
        self.add(format_args!(
            "<rect x=\"{x}\" y=\"18\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{text_x}\" y=\"24\">{name}</text>"
        ));
    }

    /// A series.
    pub fn curve(&mut self, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.add(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
    }

    /// The whole of it.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Panels of one curve each, both axes logarithmic, two beside each other.
#[derive(Debug)]
pub struct Chart {
    /// In the order in which they are drawn.
    pub panels: Vec<Panel>,
    /// A line below.
    pub foot: String,
}

/// A curve.
#[derive(Debug)]
pub struct Panel {
    /// What is drawn over what.
    pub title: String,
    /// Positive numbers, the first ones growing.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 170.0;
const GAP: (f64, f64) = (60.0, 60.0);

impl Chart {
    /// Draws it.
    #[must_use]
    pub fn svg(&self) -> String {
        let rows = (0_u8..).step_by(2).take(self.panels.len().div_ceil(2)).count();
        let rows = (0..rows).fold(0.0, |rows, _| rows + 1.0);
        let size = (2.0 * (WIDTH + GAP.0) + 40.0, rows * (HEIGHT + GAP.1) + 60.0);
        let mut canvas = Canvas::new(size);
        for (place, panel) in (0_u8..).zip(&self.panels) {
            let x = 50.0 + f64::from(place % 2) * (WIDTH + GAP.0);
            let y = 40.0 + f64::from(place / 2) * (HEIGHT + GAP.1);
            canvas.begin((x, y));
            panel.draw(&mut canvas);
            canvas.end();
        }
        canvas.label((50.0, size.1 - 15.0), "start", &self.foot);
        canvas.finish()
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas) {
        canvas.title(&self.title);
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return };
        let lowest = self.points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let highest = self.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let decades = |low: f64, high: f64| (low.log10().floor(), high.log10().ceil());
        let (left, right) = decades(first.0, last.0.max(first.0 * 10.0));
        // As high as it is wide, so that proportion is a slope one can see.
        let (bottom, top) = decades(lowest, highest.max(lowest * 10.0));
        let x = |value: f64| WIDTH * (value.log10() - left) / (right - left);
        let y = |value: f64| HEIGHT - HEIGHT * (value.log10() - bottom) / (top - bottom);
        let ticks = |low: f64, high: f64| {
            std::iter::successors(Some(low), |decade| Some(decade + 1.0))
                .take_while(move |decade| *decade <= high)
                .map(|decade| 10_f64.powf(decade))
        };
        for tick in ticks(left, right) {
            canvas.line((x(tick), 0.0), (x(tick), HEIGHT));
            canvas.label((x(tick), HEIGHT + 15.0), "middle", &tick.to_string());
        }
        for tick in ticks(bottom, top) {
            canvas.line((0.0, y(tick)), (WIDTH, y(tick)));
            canvas.label((-6.0, y(tick) + 4.0), "end", &tick.to_string());
        }
        // In proportion to the last point, down to the lower edge.
        let reach = (last.0 / last.1 * 10_f64.powf(bottom)).max(10_f64.powf(left));
        canvas.line((x(reach), y(last.1 * reach / last.0)), (x(last.0), y(last.1)));
        canvas.curve("#0b6e4f", self.points.iter().map(|point| (x(point.0), y(point.1))));
    }
}
