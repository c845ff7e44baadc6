//! The figures as a picture: a panel a column, everything over attempts, both axes logarithmic.

use towpath_testkit::Canvas;

use crate::sample::{COLUMNS, Sample};

/// Series and their colours.
const SERIES: [(&str, &str, &str); 4] = [
    ("towpath", "#0b6e4f", "Towpath's client"),
    ("towpath anew", "#2f9fd0", "the same, anew each time"),
    ("java 1.1.7", "#c1121f", "Canal's client 1.1.7"),
    ("java 1.1.8", "#e08a00", "Canal's client 1.1.8"),
];

/// Panels: the column, its title, what its values are divided by.
const PANELS: [(&str, &str, f64); 8] = [
    ("heap_bytes", "Heap in use, MB", 1e6),
    ("resident_bytes", "Resident memory, MB", 1e6),
    ("listeners", "ZooKeeper listeners kept in the process", 1.0),
    ("watches", "Watches that ZooKeeper keeps", 1.0),
    ("sessions", "Sessions with ZooKeeper", 1.0),
    ("ephemeral_nodes", "Ephemeral nodes", 1.0),
    ("sockets", "Sockets", 1.0),
    ("threads_or_tasks", "Threads (Java) or tasks (Rust)", 1.0),
];

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 170.0;
const GAP: (f64, f64) = (60.0, 60.0);

/// Attempts from 10 to ten million.
const DECADES: (f64, f64) = (1.0, 6.3);

pub(crate) fn draw(samples: &[Sample], path: &str) {
    let size = (2.0 * (WIDTH + GAP.0) + 40.0, 4.0 * (HEIGHT + GAP.1) + 60.0);
    let mut canvas = Canvas::new(size);
    for (place, (_, colour, name)) in (0_u8..).zip(SERIES) {
        canvas.legend(50.0 + 205.0 * f64::from(place), colour, name);
    }
    for (place, (column, title, unit)) in (0_u8..).zip(PANELS) {
        let x = 50.0 + f64::from(place % 2) * (WIDTH + GAP.0);
        let y = 70.0 + f64::from(place / 2) * (HEIGHT + GAP.1);
        canvas.begin((x, y));
        panel(&mut canvas, samples, column, (title, unit));
        canvas.end();
    }
    let foot = "Over failed connects, both axes logarithmic.";
    canvas.label((50.0, size.1 - 20.0), "start", foot);
    std::fs::write(path, canvas.finish()).unwrap();
}

fn panel(canvas: &mut Canvas, samples: &[Sample], column: &str, (title, unit): (&str, f64)) {
    let index = COLUMNS.iter().position(|name| *name == column).unwrap();
    let value = |sample: &Sample| as_f64(*sample.figures.get(index).unwrap()) / unit;
    let most = samples.iter().map(value).fold(1.0, f64::max);
    // Up from zero: the logarithm of one more, in tenths for what is divided.
    let fine = if unit > 1.0 { 10.0 } else { 1.0 };
    let scale = |value: f64| (1.0 + fine * value).log10();
    let top = scale(most * 1.3);
    let y = |value: f64| HEIGHT - HEIGHT * scale(value) / top;
    let x = |attempts: f64| {
        let decade = attempts.max(1.0).log10().clamp(DECADES.0, DECADES.1);
        WIDTH * (decade - DECADES.0) / (DECADES.1 - DECADES.0)
    };
    canvas.title(title);
    for (attempts, name) in [(10.0, "10"), (1e2, "100"), (1e3, "1,000"), (1e4, "10,000")]
        .into_iter()
        .chain([(1e5, "100,000"), (1e6, "1,000,000")])
    {
        canvas.line((x(attempts), 0.0), (x(attempts), HEIGHT));
        canvas.label((x(attempts), HEIGHT + 15.0), "middle", name);
    }
    let ticks = [0.0, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
    for tick in ticks.into_iter().filter(|tick| *tick <= most * 1.3) {
        if unit > 1.0 || !(0.0..1.0).contains(&tick) || tick == 0.0 {
            canvas.line((0.0, y(tick)), (WIDTH, y(tick)));
            canvas.label((-6.0, y(tick) + 4.0), "end", &tick.to_string());
        }
    }
    for (name, colour, _) in SERIES {
        let points = samples
            .iter()
            .filter(|sample| sample.series == name && sample.figures.first() > Some(&0))
            .map(|sample| {
                let attempts = as_f64(*sample.figures.first().unwrap());
                (x(attempts), y(value(sample)))
            });
        canvas.curve(colour, points);
    }
}

/// Exact up to 2^53.
fn as_f64(value: u64) -> f64 {
    let high = u32::try_from(value >> 32).unwrap();
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap();
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
