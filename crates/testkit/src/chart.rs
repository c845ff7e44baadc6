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

/// Panels, two beside each other.
#[derive(Debug)]
pub struct Chart {
    /// In the order in which they are drawn.
    pub panels: Vec<Panel>,
    /// A line below.
    pub foot: String,
}

/// Curves over the same axes.
#[derive(Debug)]
pub struct Panel {
    /// What is drawn over what.
    pub title: String,
    /// What the curves run along.
    pub x: Axis,
    /// What they climb.
    pub y: Axis,
    /// Names are shown when there are several.
    pub curves: Vec<Curve>,
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// By powers of ten. Its values are positive.
    Decades,
    /// Evenly, from zero on.
    Even,
}

/// Points that are joined.
#[derive(Debug)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// In the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 170.0;
const GAP: (f64, f64) = (60.0, 60.0);
/// Of the curves, by their place.
const COLOURS: [&str; 4] = ["#0b6e4f", "#c1121f", "#2f9fd0", "#e08a00"];

impl Chart {
    /// Draws it.
    #[must_use]
    pub fn svg(&self) -> String {
        let rows = (0_u8..).step_by(2).take(self.panels.len().div_ceil(2)).count();
        let rows = (0..rows).fold(0.0, |rows, _| rows + 1.0);
        let columns = if self.panels.len() > 1 { 2.0 } else { 1.0 };
        let size = (columns * (WIDTH + GAP.0) + 40.0, rows * (HEIGHT + GAP.1) + 60.0);
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

/// Values of an axis, and where they are in its length.
struct Range {
    axis: Axis,
    low: f64,
    high: f64,
    /// From one tick to the next, as `low` and `high` are counted.
    step: f64,
}

impl Range {
    /// Covers the values, of which there are some.
    fn of(axis: Axis, values: impl Iterator<Item = f64> + Clone) -> Self {
        let lowest = values.clone().fold(f64::INFINITY, f64::min);
        let highest = values.fold(0.0, f64::max);
        match axis {
            Axis::Decades => {
                let high = highest.max(lowest * 10.0).log10().ceil();
                Self { axis, low: lowest.log10().floor(), high, step: 1.0 }
            }
            Axis::Even => {
                let decade = 10_f64.powf(highest.log10().floor());
                let steps = [0.2, 0.5, 1.0].map(|part| part * decade);
                let step = steps.into_iter().find(|step| highest / step <= 6.0);
                let step = step.unwrap_or(2.0 * decade);
                Self { axis, low: 0.0, high: (highest / step).ceil() * step, step }
            }
        }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = match self.axis {
            Axis::Decades => value.log10(),
            Axis::Even => value,
        };
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> Vec<f64> {
        let ticks = std::iter::successors(Some(self.low), |tick| Some(tick + self.step));
        let ticks = ticks.take_while(|tick| *tick <= self.high * (1.0 + 1e-9));
        match self.axis {
            Axis::Decades => ticks.map(|decade| 10_f64.powf(decade)).collect(),
            Axis::Even => ticks.collect(),
        }
    }
}

/// A number of a tick, without the noise of its last digits.
fn number(tick: f64) -> String {
    let text = format!("{tick:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas) {
        canvas.title(&self.title);
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        if points().next().is_none() {
            return;
        }
        let over = Range::of(self.x, points().map(|point| point.0));
        let up = Range::of(self.y, points().map(|point| point.1));
        let place = |(x, y): (f64, f64)| (WIDTH * over.place(x), HEIGHT - HEIGHT * up.place(y));
        for tick in over.ticks() {
            let x = WIDTH * over.place(tick);
            canvas.line((x, 0.0), (x, HEIGHT));
            canvas.label((x, HEIGHT + 15.0), "middle", &number(tick));
        }
        for tick in up.ticks() {
            let y = HEIGHT - HEIGHT * up.place(tick);
            canvas.line((0.0, y), (WIDTH, y));
            canvas.label((-6.0, y + 4.0), "end", &number(tick));
        }
        if (self.x, self.y) == (Axis::Decades, Axis::Decades) {
            self.proportion(canvas, (10_f64.powf(over.low), 10_f64.powf(up.low)), place);
        }
        for (curve, colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
            canvas.curve(colour, curve.points.iter().copied().map(place));
        }
        if self.curves.len() > 1 {
            let mut x = 0.0;
            for (curve, colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
                canvas.begin((x, HEIGHT + 5.0));
                canvas.legend(0.0, colour, &curve.name);
                canvas.end();
                x += WIDTH / 4.0;
            }
        }
    }

    /// A thin line through the last point that grows in proportion, from the lower or left edge on.
    fn proportion(
        &self,
        canvas: &mut Canvas,
        (left, bottom): (f64, f64),
        place: impl Fn((f64, f64)) -> (f64, f64),
    ) {
        let [Curve { points, .. }] = self.curves.as_slice() else { return };
        let Some(&(x, y)) = points.last() else { return };
        let reach = (x / y * bottom).max(left);
        canvas.line(place((reach, y * reach / x)), place((x, y)));
    }
}
