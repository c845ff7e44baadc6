//! Binlog files that the server has purged and an object store has kept: RDS for MySQL copies them
//! to OSS and lists them by `DescribeBinlogFiles` (mysql-source 3.9).
//!
//! Knows HTTP, the list, and a folder for what is on its way; what the events mean is for others.

mod folder;
mod http;
mod list;
mod reading;
mod settings;
mod sign;
mod tar;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;
use tracing::{info, warn};

use crate::error::{Recovery, SourceError};
use folder::{Download, Folder};
use http::Http;
use list::{ArchivedFile, Page};
pub(crate) use reading::{Behind, Ended, Reading, Wanted};
pub use settings::{AccessKey, ArchiveConfig};
use tar::Unpacker;

/// Attempts at one request.
const ATTEMPTS: u32 = 4;
/// Pause behind the first attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest page of the list.
const PAGE_LEN_MAX: usize = 8 << 20;
/// Files that are asked for at a time.
const PAGE_SIZE: u64 = 100;
/// Pages that a list may have.
const PAGES_MAX: u64 = 2000;
/// How far before the last event the list begins: clocks differ, and a file is begun before it.
const MARGIN_S: u64 = 3600;
/// How far the list goes back when nothing is known, and when the file was begun long before.
const LOOK_BACK_S: u64 = 30 * 24 * 3600;
/// Longest file that is taken.
const FILE_LEN_MAX: u64 = 1 << 40;

/// The archive of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    config: Arc<ArchiveConfig>,
    http: Http,
    folder: Arc<Folder>,
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Archive {
    /// Takes the folder, and removes what an earlier process left of its own downloads.
    pub(crate) fn open(config: &ArchiveConfig) -> Result<Self, SourceError> {
        let http = Http::new(&config.endpoint, config.ca.as_deref())?;
        let folder = Arc::new(Folder::open(&config.folder)?);
        Ok(Self { config: Arc::new(config.clone()), http, folder })
    }

    /// The files that may hold what was written since a moment (0: not known), oldest first for each
    /// host; or all from long before it.
    async fn list(&self, since_s: u64, reach: Reach) -> Result<Vec<ArchivedFile>, SourceError> {
        let now = now_s();
        let begin = match (since_s, reach) {
            (0, _) => now.saturating_sub(LOOK_BACK_S),
            (since_s, Reach::Near) => since_s.saturating_sub(MARGIN_S),
            (since_s, Reach::Far) => since_s.saturating_sub(LOOK_BACK_S),
        };
        let (mut files, mut seen_count) = (Vec::new(), 0);
        for number in 1..=PAGES_MAX {
            let page = self.page((begin, now + MARGIN_S), number).await?;
            seen_count += page.item_count;
            files.extend(page.files);
            if page.item_count == 0 || page.total_count.is_some_and(|total| seen_count >= total) {
                break;
            }
        }
        files.sort_by(|a, b| (&a.host, a.number).cmp(&(&b.host, b.number)));
        files.dedup_by(|a, b| (&a.host, &a.name) == (&b.host, &b.name));
        info!(instance = self.config.instance, file_count = files.len(), "archived binlogs listed");
        Ok(files)
    }

    /// One page. An answer that is none is asked for again.
    async fn page(&self, (begin, end): (u64, u64), number: u64) -> Result<Page, SourceError> {
        let mut pauses = Pauses::new();
        loop {
            // Each attempt has a nonce and a time of its own.
            let action = [
                ("Action", "DescribeBinlogFiles".to_owned()),
                ("DBInstanceId", self.config.instance.clone()),
                ("StartTime", sign::moment(begin)),
                ("EndTime", sign::moment(end)),
                ("PageSize", PAGE_SIZE.to_string()),
                ("PageNumber", number.to_string()),
            ];
            let query = sign::signed(&self.config.key, action, now_s());
            let url = format!("{}/?{query}", self.config.endpoint.trim_end_matches('/'));
            let error = match self.list_text(&url).await {
                Ok(text) => match list::parse(&text) {
                    Ok(page) => return Ok(page),
                    Err(reason) => self.fault("list archived binlogs", reason, Recovery::Retry),
                },
                Err(error) => error,
            };
            pauses.after(error).await?;
        }
    }

    async fn list_text(&self, url: &str) -> Result<Vec<u8>, SourceError> {
        let doing = "list archived binlogs";
        let mut answer = self.http.get(url, doing).await?;
        let text = answer.text(PAGE_LEN_MAX).await?;
        if answer.is_success() {
            return Ok(text);
        }
        let (code, message) = list::refusal(&text);
        let reason = format!("{} {code}: {message}", answer.status());
        // A wrong key or instance stays wrong; the service's own faults pass.
        let passes =
            answer.status() >= 500 || answer.status() == 429 || code.contains("Throttling");
        let recovery = if passes { Recovery::Retry } else { Recovery::Stop };
        Err(self.fault(doing, reason, recovery))
    }

    /// Brings one file into the folder.
    async fn download(&self, file: &ArchivedFile) -> Result<Download, SourceError> {
        let (mut file, mut pauses) = (file.clone(), Pauses::new());
        loop {
            if file.expires_s.is_some_and(|expires| expires <= now_s()) {
                file = self.renewed(&file).await?;
            }
            match self.download_once(&file).await {
                Ok(download) => return Ok(download),
                Err((Link::Refused, error)) => {
                    pauses.after(error).await?;
                    file = self.renewed(&file).await?;
                }
                Err((Link::Good, error)) => pauses.after(error).await?,
            }
        }
    }

    /// The same file with a fresh link.
    async fn renewed(&self, file: &ArchivedFile) -> Result<ArchivedFile, SourceError> {
        info!(host = file.host, file = file.name, "the link has expired, asking for another");
        let is_same = |other: &ArchivedFile| other.host == file.host && other.name == file.name;
        let mut files = self.list(file.begin_s.unwrap_or(0), Reach::Near).await?;
        if !files.iter().any(is_same) {
            files = self.list(file.begin_s.unwrap_or(0), Reach::Far).await?;
        }
        let reason = || format!("{} is no longer in the list of host {}", file.name, file.host);
        files
            .into_iter()
            .find(is_same)
            .ok_or_else(|| self.fault("download a binlog", reason(), Recovery::Stop))
    }

    async fn download_once(&self, file: &ArchivedFile) -> Result<Download, (Link, SourceError)> {
        let doing = "download a binlog";
        let good = |error| (Link::Good, error);
        let mut answer = self.http.get(&file.link, doing).await.map_err(good)?;
        if !answer.is_success() {
            let text = answer.text(PAGE_LEN_MAX).await.unwrap_or_default();
            let (code, message) = list::refusal(&text);
            let reason = format!("{}: {} {code} {message}", file.name, answer.status());
            let link = if answer.status() == 403 { Link::Refused } else { Link::Good };
            return Err((link, self.fault(doing, reason, Recovery::Retry)));
        }
        info!(host = file.host, file = file.name, len = file.len, "downloading an archived binlog");
        let mut download = self.folder.begin(&file.name, &file.host).map_err(good)?;
        let (mut unpacker, mut len) = (Unpacker::new(&file.name), 0_u64);
        let bad = |reason: String| good(self.fault(doing, reason, Recovery::Retry));
        while let Some(chunk) = answer.chunk().await.map_err(good)? {
            len += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if len > FILE_LEN_MAX {
                return Err(bad(format!("{} is longer than {FILE_LEN_MAX} bytes", file.name)));
            }
            let mut write = |bytes: &[u8]| download.write(bytes);
            unpacker.feed(&chunk, &mut write).map_err(|fault| match fault {
                tar::Fault::Form(reason) => bad(format!("{}: {reason}", file.name)),
                tar::Fault::Write(error) => good(error),
            })?;
        }
        let unpacked_len =
            unpacker.end().map_err(|reason| bad(format!("{}: {reason}", file.name)))?;
        // Of a tar the list may say how long it is, or what is in it.
        let claimed = file.len.unwrap_or(len);
        if claimed != len && claimed != unpacked_len {
            return Err(bad(format!("{} has {len} bytes, the list says {claimed}", file.name)));
        }
        download.finish().map_err(good)?;
        Ok(download)
    }

    fn fault(&self, doing: &'static str, reason: String, recovery: Recovery) -> SourceError {
        let place = http::shown(&self.config.endpoint);
        SourceError::Archive { place, doing, reason, recovery }
    }
}

/// How much of the list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Near,
    Far,
}

/// Whether another link may help.
enum Link {
    Good,
    Refused,
}

/// The pauses between the attempts at one request.
struct Pauses {
    count: u32,
}

impl Pauses {
    const fn new() -> Self {
        Self { count: 0 }
    }

    /// Waits after a failed attempt, or gives its error back: it was the last one, or none helps.
    async fn after(&mut self, error: SourceError) -> Result<(), SourceError> {
        self.count += 1;
        if self.count >= ATTEMPTS || error.recovery() == Recovery::Stop {
            return Err(error);
        }
        warn!(attempt = self.count, %error, "the archive does not answer well, asking again");
        sleep(PAUSE * 2_u32.pow(self.count)).await;
        Ok(())
    }
}
