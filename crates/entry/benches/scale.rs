//! How the cost of a row grows; `bench/scale` counts the instructions of this and draws them.
//!
//! `scale columns N`, `scale width N`, `scale tables N`: decodes rows of so many columns, of so many
//! bytes, or of so many tables in turn, and prints how many rows it were. `scale draw CSV SVG`: the
//! picture.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program for measuring"
)]

mod made;

use made::{Kind, Made};
use towpath_entry::Decoder;
use towpath_testkit::{Axis, Chart, Curve, Panel};

/// Rows are counted over this many bytes of values at least.
const BYTES: usize = 1 << 18;

/// What is counted runs inside of this.
#[inline(never)]
fn measured<R>(run: impl FnOnce() -> R) -> R {
    run()
}

/// The rows of some tables, a second time: what is made once for a table is made.
fn run(tables: &[Made], rows_each: usize, rounds: usize) {
    let mut decoder = Made::decoder();
    let round = |decoder: &mut Decoder| {
        for table in tables {
            table.feed(decoder);
            decoder.take();
        }
    };
    round(&mut decoder);
    measured(|| (0..rounds).for_each(|_| round(&mut decoder)));
    println!("{}", rows_each * tables.len() * rounds);
}

fn int() -> Kind {
    let value = 123_456_i32.to_le_bytes().into();
    Kind { code: 3, metadata: vec![], value, is_text: false }
}

/// VARCHAR of so many bytes.
fn varchar(len: u16) -> Kind {
    let [low, high] = len.to_le_bytes();
    let mut value = if len < 256 { vec![low] } else { vec![low, high] };
    value.resize(value.len() + usize::from(len), b'x');
    Kind { code: 15, metadata: vec![low, high], value, is_text: true }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [what, rest @ ..] = arguments.as_slice() else { return };
    if what == "draw" {
        return draw(&rest[0], &rest[1]);
    }
    let count: usize = rest[0].parse().unwrap();
    match what.as_str() {
        "columns" => {
            let rows = (BYTES / 4 / count).max(1);
            run(&[Made::new(1, &int(), count, rows)], rows, 1);
        }
        "width" => {
            let rows = (BYTES / count).max(1);
            run(&[Made::new(1, &varchar(count.try_into().unwrap()), 1, rows)], rows, 1);
        }
        "tables" => {
            let tables: Vec<Made> =
                (1..=u32::try_from(count).unwrap()).map(|id| Made::new(id, &int(), 4, 1)).collect();
            run(&tables, 1, 8192_usize.div_ceil(count));
        }
        other => panic!("{other}: columns, width or tables"),
    }
}

/// Lines of the file: what grows, how much of it there is, and the cost of a row.
fn draw(csv: &str, svg: &str) {
    let text = std::fs::read_to_string(csv).unwrap();
    let points = |what: &str| -> Vec<(f64, f64)> {
        let fields = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        fields
            .filter(|fields| fields[0] == what)
            .map(|fields| (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
            .collect()
    };
    let panel = |what: &str, title: &str| Panel {
        title: title.to_owned(),
        x: Axis::Decades,
        y: Axis::Decades,
        curves: vec![Curve { name: what.to_owned(), points: points(what) }],
    };
    let chart = Chart {
        panels: vec![
            panel("columns", "Instructions a row, over columns (INT)"),
            panel("width", "Instructions a row, over bytes of a VARCHAR"),
            panel("tables", "Instructions a row, over tables in turn"),
            panel("destinations", "Instructions an entry in the store, over destinations in turn"),
            panel("clients", "CPU of the server a row, ns, over clients of a destination"),
            panel("client_rows", "Rows a second to all clients, over clients of a destination"),
            panel("cores", "CPU of the server a row, ns, over its cores"),
            panel("core_rows", "Rows a second to one client, over cores of the server"),
        ],
        foot: "Both axes logarithmic; the thin line grows in proportion.".to_owned(),
    };
    std::fs::write(svg, chart.svg()).unwrap();
}
