//! What is left out, and the time zone of what is not: the arguments of all commands that decode a binlog, by Canal's rules.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use towpath_entry::{
    DecoderOptions, FieldFilter, Suppress, TableFilter, Zone, filter_remarks, filter_within,
    shown_filter,
};
use towpath_source::SourceUrl;

use crate::report::{Failure, say};
use crate::zone::ZoneArguments;

/// See the module.
#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Deliver only tables whose schema.table matches one of these regular expressions
    /// (comma-separated). A client's own filter replaces it. mysql://user:password@host:3306/shop is the same as
    /// 'shop\..*'; with both, each expression has to begin with 'shop\.'.
    #[arg(long, default_value = "")]
    filter: String,
    /// Never deliver tables that match one of these.
    #[arg(long, value_name = "FILTER", default_value = "")]
    black_filter: String,
    /// Deliver only these columns, as schema.table:column/column,schema.table2:column. Of tables that
    /// are not named all columns come.
    #[arg(long, value_name = "FIELDS", default_value = "")]
    fields: String,
    /// Leave these columns out. Does not count for tables that --fields names.
    #[arg(long, value_name = "FIELDS", default_value = "")]
    black_fields: String,
    #[command(flatten)]
    switches: Switches,
    #[command(flatten)]
    zone: ZoneArguments,
}

impl FilterArguments {
    /// Keeps to the database that the URL of a source names, if it names one.
    pub(crate) fn keep_to(&mut self, source: &str, standby: Option<&str>) -> Result<(), Failure> {
        let database = |place: &str| match SourceUrl::is_meant(place) {
            true => SourceUrl::parse(place).map(|url| url.database).map_err(Failure::source),
            false => Ok(None),
        };
        let other = standby.map(database).transpose()?.flatten();
        let Some(name) = database(source)? else {
            return match other {
                None => Ok(()),
                Some(other) => Err(Failure::of(&format!(
                    "the standby is given with the database `{other}`, and the source with none: name it in both \
                     URLs, or use --filter"
                ))),
            };
        };
        if let Some(other) = other.filter(|other| *other != name) {
            return Err(Failure::of(&format!(
                "the source is given with the database `{name}`, and the standby with `{other}`: both have to be the \
                 same"
            )));
        }
        self.filter = filter_within(&name, &self.filter).ok_or_else(|| {
            Failure::of(&format!(
                "the URL names the database `{name}`, and --filter `{}` may reach others: leave the database out of \
                 the URL, or begin each part of --filter with `{name}\\.`",
                shown_filter(&self.filter)
            ))
        })?;
        Ok(())
    }

    /// Settings of a decoder with these filters.
    pub(crate) fn options(&self) -> Result<DecoderOptions, Failure> {
        remark("--filter", &self.filter);
        remark("--black-filter", &self.black_filter);
        let filter = TableFilter::new(&self.filter, &self.black_filter)
            .map_err(|error| Failure::new("cannot use --filter or --black-filter", error))?;
        let fields = FieldFilter::new(&self.fields, &self.black_fields)
            .map_err(|error| Failure::new("cannot use --fields or --black-fields", error))?;
        let Switches(suppress) = self.switches;
        let zone = self.zone()?;
        Ok(DecoderOptions { filter, fields, suppress, zone, ..DecoderOptions::default() })
    }

    /// What is left of the source, for people.
    pub(crate) fn describe(&self) -> String {
        let mut text = match self.filter.as_str() {
            "" => "all tables".to_owned(),
            filter => format!("tables {filter}"),
        };
        for (word, given) in [
            (" but ", &self.black_filter),
            (", columns ", &self.fields),
            (", without columns ", &self.black_fields),
        ] {
            if !given.is_empty() {
                text = format!("{text}{word}{given}");
            }
        }
        text
    }

    /// The zone in which values and times are shown.
    pub(crate) fn zone(&self) -> Result<Zone, Failure> {
        self.zone.zone()
    }

    /// The filter that a client can ask a server for: only that of tables.
    pub(crate) fn of_a_client(&self) -> Result<&str, Failure> {
        let others = [&self.black_filter, &self.fields, &self.black_fields];
        if others.iter().all(|text| text.is_empty()) && self.switches.0 == Suppress::NONE {
            remark("--filter", &self.filter);
            return Ok(&self.filter);
        }
        Err(Failure::of(
            "a client can only ask for tables, with --filter: give the other filters to the server",
        ))
    }
}

/// Says what is odd about a filter.
pub(crate) fn remark(option: &str, filter: &str) {
    for remark in filter_remarks(filter) {
        say(&format!("warning: {option}: {remark}"));
    }
}

/// A flag each.
const SWITCHES: [(&str, Suppress, &str); 9] = [
    ("no-dcl", Suppress::QUERY_DCL, "Leave out statements that are neither DDL nor DML"),
    (
        "no-query-dml",
        Suppress::QUERY_DML,
        "Leave out DML that was logged as a statement, and the statements that come beside rows",
    ),
    (
        "no-ddl",
        Suppress::QUERY_DDL,
        "Leave out all statements; structures follow them all the same",
    ),
    ("no-rows", Suppress::ROWS, "Leave out all rows"),
    ("no-insert", Suppress::INSERT, "Leave out inserted rows"),
    ("no-update", Suppress::UPDATE, "Leave out updated rows"),
    ("no-delete", Suppress::DELETE, "Leave out deleted rows"),
    (
        "no-transaction-entries",
        Suppress::TRANSACTION_ENTRIES,
        "Leave out begins and ends of transactions, but for one pair now and then",
    ),
    (
        "skip-table-errors",
        Suppress::TABLE_ERRORS,
        "Leave out the rows of tables whose structure cannot be known, instead of stopping",
    ),
];

/// The flags that are given.
#[derive(Debug, Clone, Copy)]
struct Switches(Suppress);

impl FromArgMatches for Switches {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = SWITCHES.iter().filter(|(name, ..)| matches.get_flag(name));
        Ok(Self(given.fold(Suppress::NONE, |set, (_, switch, _)| set.and(*switch))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Switches {
    fn augment_args(command: Command) -> Command {
        let flag = |(name, _, help): &(&'static str, Suppress, &'static str)| {
            Arg::new(*name).long(*name).help(*help).action(ArgAction::SetTrue)
        };
        command.args(SWITCHES.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
