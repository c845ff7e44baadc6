//! Which table a rows event means, and how its columns are named.
//!
//! Table maps come with every statement: a plan made for one is kept and used again as long as the
//! map's bytes and the known structures are the same.

mod cache;
mod charset;
mod derive;
mod fit;

use std::sync::Arc;

use towpath_binlog::event::{RowsEvent, TableMap};
use towpath_binlog::{FormatDescription, event_type as t};
use towpath_schema::{
    Catalog, Classified, Lookup, NameCase, PackedTable, ParseOptions, Renaming, ServerKind,
    SessionId, Speaker, StructureAnswer, StructureChange, Table,
};

use super::Step;
use super::options::{DecoderOptions, Suppress};
use super::statement::server_kind;
use crate::error::DecodeError;
use crate::plan::Plan;
use crate::text::charset_name;
use cache::Cache;
use fit::Facts;

/// What a table id stands for.
#[derive(Debug)]
pub(crate) enum TableAtHand {
    /// The filter does not want it.
    Skip,
    /// Its structure is not known, and its rows are left out for that.
    Unknown,
    /// Its rows are delivered by this plan.
    Plan(Box<Plan>),
}

/// A table map that was understood.
#[derive(Debug)]
struct Kept {
    table_id: u64,
    /// The event's, which says the id as well: equal bytes describe an equal table.
    body: Box<[u8]>,
    at_hand: TableAtHand,
}

/// Structures, plans and the table maps in force.
#[derive(Debug)]
pub(crate) struct Tables {
    catalog: Catalog,
    kept: Cache,
    /// The first `in_force` are in force. Behind them are left those of the statement before: the next
    /// statement is often like it, and then nothing is looked up or counted.
    maps: Vec<Arc<Kept>>,
    in_force: usize,
    generation: u64,
    /// What was answered to the last question: used once, for the event that asked.
    answer: Option<(String, String, StructureAnswer)>,
}

/// How the text of a statement is to be read.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "two independent facts of an event")]
pub(super) struct Reading {
    pub(super) server: Option<ServerKind>,
    pub(super) sql_mode: Option<u64>,
    /// The collation that databases get which are made without one.
    pub(super) server_charset: Option<u16>,
    /// Every character of it is known.
    pub(super) is_exact: bool,
    /// Who made it.
    pub(super) session: SessionId,
    /// It is marked as bound to its session.
    pub(super) is_bound: bool,
}

/// Classified results of a statement, and whether it may have changed structures in a way that is
/// not understood.
pub(super) type Applied = (Vec<Classified>, bool);

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            catalog: Catalog::default(),
            kept: Cache::default(),
            maps: Vec::new(),
            in_force: 0,
            generation: 0,
            answer: None,
        }
    }

    /// Replaces all that is known.
    pub(super) fn set_catalog(&mut self, catalog: Catalog) {
        self.catalog = catalog;
        self.forget_plans();
        self.generation = self.catalog.generation();
    }

    pub(super) fn settle_names(&mut self, case: NameCase) {
        self.catalog.settle(case);
    }

    pub(super) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn keep_changes(&mut self) {
        self.catalog.keep_changes();
    }

    pub(super) fn take_changes(&mut self) -> Vec<StructureChange> {
        self.catalog.take_changes()
    }

    /// Takes a table map.
    #[inline]
    pub(super) fn map(
        &mut self,
        body: &[u8],
        format: &FormatDescription,
        options: &DecoderOptions,
    ) -> Result<Step, DecodeError> {
        let is_same = self.maps.get(self.in_force).is_some_and(|kept| *kept.body == *body);
        if is_same && self.catalog.generation() == self.generation {
            self.in_force += 1;
            return Ok(Step::Done);
        }
        self.other_map(body, format, options)
    }

    #[inline]
    fn other_map(
        &mut self,
        body: &[u8],
        format: &FormatDescription,
        options: &DecoderOptions,
    ) -> Result<Step, DecodeError> {
        let map = TableMap::parse(body, format)?;
        if self.catalog.generation() != self.generation {
            self.generation = self.catalog.generation();
            self.forget_plans();
        }
        let kept = match self.kept.get(map.table_id).filter(|kept| *kept.body == *body) {
            Some(kept) => Arc::clone(kept),
            None => match self.resolve(&map, format, options)? {
                Ok(at_hand) => self.keep(map.table_id, body, at_hand),
                Err((schema, table)) => return Ok(Step::NeedTable { schema, table }),
            },
        };
        self.put_in_force(kept);
        Ok(Step::Done)
    }

    /// The plan of a table map that is new or has changed; `Err` names a table to look up.
    fn resolve(
        &mut self,
        map: &TableMap<'_>,
        format: &FormatDescription,
        options: &DecoderOptions,
    ) -> Result<Result<TableAtHand, (String, String)>, DecodeError> {
        let schema = String::from_utf8_lossy(map.schema).into_owned();
        let name = String::from_utf8_lossy(map.table).into_owned();
        self.catalog.settle_by(&schema, &name);
        let has_rows = !options.suppress.has(Suppress::ROWS);
        let at_hand = if has_rows && options.filter.matches(&schema, &name)? {
            let collations = derive::collations(map, format)?;
            let Some(table) = self.structure((map, format), &collations, &schema, &name)? else {
                return Ok(Err((schema, name)));
            };
            let table = derive::sized(table, &map.columns()?);
            let fields = options.fields.of_table(&schema, &name);
            TableAtHand::Plan(Box::new(Plan::new((map, format), &table, &collations, fields)?))
        } else {
            TableAtHand::Skip
        };
        Ok(Ok(at_hand))
    }

    fn keep(&mut self, table_id: u64, body: &[u8], at_hand: TableAtHand) -> Arc<Kept> {
        let kept = Arc::new(Kept { table_id, body: body.into(), at_hand });
        self.kept.insert(Arc::clone(&kept));
        kept
    }

    fn put_in_force(&mut self, kept: Arc<Kept>) {
        let in_force = self.maps.get(..self.in_force).unwrap_or_default();
        let same = in_force.iter().position(|other| other.table_id == kept.table_id);
        let at = same.unwrap_or(self.in_force);
        match self.maps.get_mut(at) {
            Some(place) => *place = kept,
            None => self.maps.push(kept),
        }
        self.in_force = self.in_force.max(at + 1);
    }

    /// The rows of this table cannot be read, until a statement changes its structure.
    pub(super) fn give_up(
        &mut self,
        body: &[u8],
        format: &FormatDescription,
    ) -> Result<(), DecodeError> {
        let map = TableMap::parse(body, format)?;
        let kept = self.keep(map.table_id, body, TableAtHand::Unknown);
        self.put_in_force(kept);
        Ok(())
    }

    /// The structure that names the columns of `map`; `None` when it has to be looked up.
    fn structure(
        &mut self,
        (map, format): (&TableMap<'_>, &FormatDescription),
        collations: &[Option<u64>],
        schema: &str,
        name: &str,
    ) -> Result<Option<Table>, DecodeError> {
        let facts = Facts::new(map, format)?;
        let untold = |table: &Table| charset::untold(table, facts.kinds(), collations);
        let (mut misfit, mut fitting) = (None, None);
        if let Lookup::Known(table) = self.catalog.get(schema, name) {
            match facts.fit(&table) {
                Ok(()) if untold(&table).is_empty() && (!table.is_assumed || facts.has_names()) => {
                    return Ok(Some(table));
                }
                Ok(()) => fitting = Some(table),
                Err(detail) => misfit = Some((table.columns.len(), detail)),
            }
        }
        let answer = self.answer.take().filter(|(s, n, _)| s == schema && n == name);
        let Some((_, _, answer)) = answer else { return Ok(None) };
        // A table that was there already is another one than the statement says.
        let is_doubtful = |known: &Table| known.is_assumed && !answer.candidates.is_empty();
        let (assumed, fitting) = match fitting {
            Some(known) if is_doubtful(&known) => (Some(known), None),
            fitting => (None, fitting),
        };
        if let Some(known) = fitting {
            // All else stays as the statements say it.
            let mut table = Table { is_assumed: false, ..known.clone() };
            charset::state(&mut table, &untold(&known), &answer);
            if table != known {
                self.keep_learned(&table);
            }
            return Ok(Some(table));
        }
        let (mut candidates, hidden_key) = (answer.candidates.clone(), answer.hidden_key);
        if let (true, Some(_), Lookup::Known(known)) =
            (candidates.is_empty(), hidden_key, self.catalog.get(schema, name))
        {
            // What the statements say counts where the source cannot say more.
            candidates.push(Table { hidden_key, ..known });
        }
        let mut fitting = Vec::new();
        for candidate in candidates {
            let known = candidate.columns.len();
            let completed = derive::complete(candidate, map, format)?;
            match completed.and_then(|table| facts.fit(&table).map(|()| table)) {
                Ok(table) if !fitting.contains(&table) => fitting.push(table),
                Ok(_) => {}
                Err(detail) => misfit = misfit.or(Some((known, detail))),
            }
        }
        // What both the statement and the source allow is it.
        let agrees = |table: &Table, other: &Table| {
            let (names, others) = (table.columns.iter(), other.columns.iter());
            names.map(|column| &column.name).eq(others.map(|column| &column.name))
        };
        let stated = assumed
            .filter(|table| fitting.is_empty() || fitting.iter().any(|other| agrees(table, other)));
        let count = fitting.len();
        let table = match stated.or_else(|| fitting.pop().filter(|_| count == 1)) {
            Some(table) => table,
            // The binlog names the columns itself; only the spelling of types may differ.
            None if facts.has_names() && facts.untold().is_none() => {
                let table = derive::from_metadata((map, format), facts.named_hashes())?;
                table.served_with(hidden_key)
            }
            None => {
                let obstacle = facts.untold().or(answer.obstacle);
                return Err(not_known(map, (schema, name), misfit, (count, obstacle)));
            }
        };
        // The names of the table map count, whatever the server's case rules.
        let (schema, name) = (schema.to_owned(), name.to_owned());
        let mut table = Table { schema, name, is_assumed: false, ..table };
        let untold = untold(&table);
        charset::state(&mut table, &untold, &answer);
        self.keep_learned(&table);
        Ok(Some(table))
    }

    fn keep_learned(&mut self, table: &Table) {
        self.catalog.learn(PackedTable::new(table));
        // Plans of other tables stay good.
        self.generation = self.catalog.generation();
    }

    pub(super) fn learn(&mut self, schema: &str, table: &str, answer: StructureAnswer) {
        self.answer = Some((schema.to_owned(), table.to_owned(), answer));
    }

    /// The table of an id whose map is in force.
    #[inline]
    pub(super) fn at_hand(&self, table_id: u64) -> Option<&TableAtHand> {
        let in_force = self.maps.get(..self.in_force)?;
        let found = in_force.iter().rev().find(|kept| kept.table_id == table_id);
        found.map(|kept| &kept.at_hand)
    }

    /// The table whose map came last, for error messages.
    pub(super) fn last_name(&self) -> Option<String> {
        let last = self.maps.get(..self.in_force)?.last();
        last.and_then(|kept| match &kept.at_hand {
            TableAtHand::Plan(plan) => Some(format!("{}.{}", plan.schema, plan.table)),
            TableAtHand::Skip | TableAtHand::Unknown => None,
        })
    }

    /// The last rows event of a statement: its table maps end.
    #[inline]
    pub(super) const fn end_statement(&mut self) {
        self.in_force = 0;
    }

    pub(super) fn forget_maps(&mut self) {
        self.in_force = 0;
        self.maps.clear();
    }

    /// Table maps may look different from here on. Sessions do not outlive a start of the server.
    pub(super) fn begin_file(&mut self, format: &FormatDescription) {
        self.catalog.read_from(server_kind(format));
        if format.created_s > 0 {
            self.server_starts();
        }
        self.forget_plans();
    }

    pub(super) fn server_starts(&mut self) {
        self.catalog.server_starts();
    }

    /// Those in force stay so.
    pub(super) fn forget_plans(&mut self) {
        self.kept.clear();
        self.maps.truncate(self.in_force);
    }

    /// Applies a statement to the structures and classifies it as Canal does.
    pub(super) fn apply(&mut self, sql: &str, database: &str, reading: Reading) -> Applied {
        let options = ParseOptions::from_sql_mode(reading.sql_mode.unwrap_or(0));
        let options = reading.server.map_or(options, |server| options.read_by(server));
        let mut parsed = towpath_schema::parse(sql, &options);
        if !reading.is_exact {
            parsed.distrust(sql, &options);
        }
        if let Some(name) = reading.server_charset.and_then(|id| charset_name(u64::from(id))) {
            parsed.tell_server_charset(name);
        }
        let database = Some(database).filter(|name| !name.is_empty());
        let speaker = Speaker {
            id: reading.session,
            database,
            renaming: Renaming::of(reading.server),
            is_bound: reading.is_bound,
        };
        let parsed = self.catalog.separate(parsed, &speaker);
        self.catalog.read_from(reading.server);
        self.catalog.apply(&parsed, database);
        (towpath_schema::classify(&parsed, database), parsed.is_in_doubt())
    }

    /// `schema.table` of a rows event, for error messages.
    pub(super) fn name_of_rows(
        &self,
        body: &[u8],
        event_type: u8,
        format: &FormatDescription,
    ) -> String {
        let unknown = || "-".to_owned();
        if event_type == t::TABLE_MAP {
            return TableMap::parse(body, format).map_or_else(
                |_| unknown(),
                |map| {
                    let text = String::from_utf8_lossy;
                    format!("{}.{}", text(map.schema), text(map.table))
                },
            );
        }
        let Ok((id, _)) = RowsEvent::peek_table_id(body, event_type, format) else {
            return unknown();
        };
        match self.at_hand(id) {
            Some(TableAtHand::Plan(plan)) => format!("{}.{}", plan.schema, plan.table),
            Some(TableAtHand::Skip | TableAtHand::Unknown) | None => unknown(),
        }
    }
}

/// Why the structure of a table is not known. `found`: how many structures fit, and what stands in
/// the way of knowing.
fn not_known(
    map: &TableMap<'_>,
    (schema, table): (&str, &str),
    misfit: Option<(usize, String)>,
    (fitting, obstacle): (usize, Option<String>),
) -> DecodeError {
    let (schema, table, in_binlog) = (schema.to_owned(), table.to_owned(), map.types.len());
    let several = (fitting > 1).then(|| format!("{fitting} earlier structures fit the rows"));
    let reasons: Vec<String> = [obstacle, several].into_iter().flatten().collect();
    match misfit {
        Some((known, detail)) if fitting == 0 => {
            let reasons = [vec![detail], reasons].concat();
            DecodeError::Structure { schema, table, in_binlog, known, detail: reasons.join("; ") }
        }
        _ => {
            let detail = match reasons.is_empty() {
                true => "the source has no such table".to_owned(),
                false => reasons.join("; "),
            };
            DecodeError::NoStructure { schema, table, in_binlog, detail }
        }
    }
}
