//! What one process holds after so many attempts, as a line of a table.

/// The columns after the name of the series.
pub(crate) const COLUMNS: [&str; 10] = [
    "attempts",
    "seconds",
    "heap_bytes",
    "resident_bytes",
    "listeners",
    "watches",
    "sessions",
    "ephemeral_nodes",
    "sockets",
    "threads_or_tasks",
];

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) series: String,
    /// In the order of [`COLUMNS`].
    pub(crate) figures: [u64; COLUMNS.len()],
}

impl Sample {
    pub(crate) fn line(&self) -> String {
        let figures: Vec<String> = self.figures.iter().map(u64::to_string).collect();
        format!("{},{}\n", self.series, figures.join(","))
    }

    fn parse(line: &str) -> Self {
        let (series, rest) = line.split_once(',').unwrap();
        let figures: Vec<u64> = rest.split(',').map(|figure| figure.parse().unwrap()).collect();
        Self { series: series.to_owned(), figures: figures.try_into().unwrap() }
    }
}

pub(crate) fn head() -> String {
    format!("series,{}\n", COLUMNS.join(","))
}

/// A table that was written before.
pub(crate) fn read(csv: &str) -> Vec<Sample> {
    let text = std::fs::read_to_string(csv).unwrap();
    text.lines().skip(1).map(Sample::parse).collect()
}
