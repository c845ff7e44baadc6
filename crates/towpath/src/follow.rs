//! From a source to blocks of entries: the loop that `tail` and `decode` share.

use towpath_entry::{Block, DecodeError, Decoder, DecoderOptions, GtidSet, Step};
use towpath_schema::{Catalog, NameCase};
use towpath_source::{Filled, Passed, Source};

use crate::report::Failure;

/// How often more is read for a block.
const FILLS_MAX: u32 = 8;

/// A source with its decoder.
pub(crate) struct Follow {
    pub(crate) source: Source,
    decoder: Decoder,
    /// The server that is being read.
    identity: String,
    /// How often the start was found to be inside a transaction.
    rewind_count: u32,
    /// There may be more events in the source's buffer.
    has_events: bool,
    failed: Option<Failure>,
}

/// What has to be looked up before decoding can go on.
enum Need {
    /// The structure of a table.
    Table { schema: String, table: String },
    /// The end of a long transaction.
    Fate,
    /// The begin of the transaction in which reading has begun, perhaps.
    Begin(Box<DecodeError>),
}

impl Follow {
    pub(crate) fn new(source: Source, options: DecoderOptions) -> Result<Self, Failure> {
        let gtid = source.gtid_set().map(|set| GtidSet::parse(set, source.is_mariadb()));
        let gtid =
            gtid.transpose().map_err(|error| Failure::new("cannot use the GTID set", error))?;
        let mut decoder = Decoder::new(DecoderOptions { gtid, ..options });
        decoder.settle_names(source.name_case());
        let identity = source.identity().to_owned();
        Ok(Self { source, decoder, identity, rewind_count: 0, has_events: false, failed: None })
    }

    /// The next entries; `None` at the end of files. What was read before a fault comes first, then
    /// the fault.
    pub(crate) async fn next(&mut self) -> Result<Option<Block>, Failure> {
        let mut fills = 0;
        loop {
            let has_enough = fills >= FILLS_MAX || self.failed.is_some() || self.has_events;
            // What has come meanwhile goes into the same block: a short one would be copied.
            if has_enough || !self.decoder.has_entries() || !self.source.try_fill().await {
                if let Some(block) = self.decoder.take() {
                    return Ok(Some(block));
                }
                if let Some(failure) = self.failed.take() {
                    return Err(failure);
                }
                if !self.has_events {
                    match self.source.fill().await.map_err(Failure::source)? {
                        Filled::Events => {}
                        Filled::Reconnected => self.reconnected(),
                        Filled::Anew => self.begin_anew(),
                        Filled::End => return Ok(None),
                    }
                }
            }
            fills += 1;
            if let Err(failure) = self.decode().await {
                self.failed = Some(failure);
            }
        }
    }

    fn reconnected(&mut self) {
        self.decoder.restart();
        let has_gtid = self.decoder.boundary().is_some_and(|boundary| boundary.gtid.is_some());
        if self.source.identity() != self.identity && !has_gtid {
            // Its places have nothing to do with those of the server before.
            self.begin_anew();
        }
    }

    /// Forgets all that is known of tables.
    fn begin_anew(&mut self) {
        self.decoder.restart();
        self.source.identity().clone_into(&mut self.identity);
        self.decoder.set_catalog(Catalog::new(self.source.name_case()));
    }

    /// A start inside a transaction: its begin is searched, once.
    async fn rewind(&mut self, error: DecodeError) -> Result<(), Failure> {
        self.rewind_count += 1;
        let may_be = self.rewind_count == 1 && error.is_inside_a_transaction();
        if may_be && self.source.rewind().await.map_err(Failure::source)? {
            return Ok(());
        }
        Err(Failure::new("cannot decode the binlog", error))
    }

    /// Decodes events in the buffer, until there are enough entries or no more events.
    async fn decode(&mut self) -> Result<(), Failure> {
        self.has_events = false;
        while let Some(need) = self.decode_known()? {
            let (schema, table) = match need {
                Need::Table { schema, table } => (schema, table),
                Need::Begin(error) => return self.rewind(*error).await,
                Need::Fate => {
                    if let Some(scan) = self.decoder.fate_scan()
                        && let Some(fate) = self.source.fate(scan).await.map_err(Failure::source)?
                    {
                        self.decoder.learn_fate(fate);
                    }
                    self.source.unread();
                    continue;
                }
            };
            if self.decoder.catalog().is_undecided(&schema, &table)
                && let case = self.source.find_name_case().await
                && case != NameCase::Unknown
            {
                self.decoder.settle_names(case);
                self.source.unread();
                continue;
            }
            let found = match self.source.table(&schema, &table).await {
                // What the stream says of the table counts then, if it is enough.
                Err(error) if error.is_about_a_table() => Some(error.as_answer()),
                found => found.map_err(Failure::source)?,
            };
            if let Some(found) = found {
                self.decoder.learn_table(&schema, &table, found);
            }
            self.source.unread();
        }
        if let Some(at) = self.decoder.boundary() {
            self.source.resume_from(&Passed {
                file: &at.file,
                offset: at.offset,
                gtid: at.gtid.as_deref(),
                start: at.start,
                timestamp_s: at.timestamp_s,
                server_id: at.server_id,
            });
        }
        Ok(())
    }

    /// The same up to what has to be looked up. Apart from what waits, so that the loop lives in registers.
    fn decode_known(&mut self) -> Result<Option<Need>, Failure> {
        while !self.decoder.is_full() {
            // The event stays where it is: moving it costs more than most events do.
            let next = self.source.next_event();
            let Ok(Some(event)) = &next else {
                return next.map(|_| None).map_err(Failure::source);
            };
            match self.decoder.event(event) {
                Ok(Step::Done) => {}
                Ok(Step::NeedTable { schema, table }) => {
                    return Ok(Some(Need::Table { schema, table }));
                }
                Ok(Step::NeedFate) => return Ok(Some(Need::Fate)),
                Err(error) => return Ok(Some(Need::Begin(Box::new(error)))),
            }
        }
        self.has_events = true;
        Ok(None)
    }
}
