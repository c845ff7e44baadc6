//! A service like RDS with OSS behind it: lists binlog files to who signs rightly, and hands them out
//! by links that end. It can fail in the ways in which the real ones do.

mod sign;

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, scope};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::server::listener;

/// How often the listener looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for a request.
const SILENCE: Duration = Duration::from_secs(30);

/// What goes wrong with a request; once for each that is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RdsFault {
    /// The answer is 500.
    Broken,
    /// The connection ends after this many bytes of the body.
    Cut(usize),
    /// The link has expired.
    Expired,
    /// The answer is no JSON, or no binlog.
    Nonsense,
    /// The answer to a download comes after this time.
    Late(Duration),
}

/// How a file is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// In a tar, with others.
    Tar,
}

#[derive(Debug, Clone)]
struct Item {
    host: String,
    name: String,
    packing: Packing,
    body: Vec<u8>,
    begin_s: u64,
}

#[derive(Debug, Default)]
struct Contents {
    items: Vec<Item>,
    list_faults: VecDeque<RdsFault>,
    file_faults: VecDeque<RdsFault>,
    nonces: BTreeSet<String>,
    lists: usize,
    downloads: Vec<String>,
    watched: Option<PathBuf>,
    most: usize,
    refused: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    ended: AtomicBool,
    page_size: usize,
    port: u16,
    contents: Mutex<Contents>,
}

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub struct Rds {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// The instance that it knows.
const INSTANCE: &str = "rm-towpath";
const ACCESS_KEY: &str = "LTAI-towpath";
const SECRET_KEY: &str = "planted-secret/key+of=rds";

impl Rds {
    /// Starts it, with at most `page_size` files on a page.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "its owner is the value, which joins it")]
    pub fn start(page_size: usize) -> Self {
        let (port, listener) = listener();
        let contents = Mutex::new(Contents::default());
        let shared = Arc::new(Shared { ended: AtomicBool::new(false), page_size, port, contents });
        let own = Arc::clone(&shared);
        let listener = Some(std::thread::spawn(move || accept(&listener, &own)));
        Self { shared, listener }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.shared.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options of `towpath serve` for it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let endpoint = format!("http://127.0.0.1:{}", self.shared.port);
        ["--rds-instance", INSTANCE, "--rds-access-key", ACCESS_KEY, "--rds-secret-key", SECRET_KEY]
            .into_iter()
            .chain(["--rds-endpoint", &endpoint])
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The secret, which nobody may say.
    #[must_use]
    pub const fn secret(&self) -> &'static str {
        SECRET_KEY
    }

    /// Takes a copy of a binlog file that a server has, as that of a host.
    ///
    /// # Panics
    /// When it cannot be read, or is none.
    pub fn keep(&self, host: &str, file: &Path, packing: Packing) {
        let body = match std::fs::read(file) {
            Ok(body) => body,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let begun = body.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let (Some(name), Some(begun)) = (name, begun) else {
            panic!("{} is no binlog", file.display());
        };
        let begin_s = begun.into();
        let item = Item { host: host.to_owned(), name, packing, body, begin_s };
        self.contents().items.push(item);
    }

    /// Loses a file.
    pub fn lose(&self, name: &str) {
        self.contents().items.retain(|item| item.name != name);
    }

    /// Orders faults of the next lists.
    pub fn fail_lists(&self, faults: &[RdsFault]) {
        self.contents().list_faults.extend(faults);
    }

    /// Orders faults of the next downloads.
    pub fn fail_downloads(&self, faults: &[RdsFault]) {
        self.contents().file_faults.extend(faults);
    }

    /// Counts the files that are in a folder whenever a download begins.
    pub fn watch(&self, folder: &Path) {
        self.contents().watched = Some(folder.to_owned());
    }

    /// The most files that were in the folder.
    #[must_use]
    pub fn most_files(&self) -> usize {
        self.contents().most
    }

    /// Requests for lists.
    #[must_use]
    pub fn list_count(&self) -> usize {
        self.contents().lists
    }

    /// Names of the files that were asked for, in order.
    #[must_use]
    pub fn downloads(&self) -> Vec<String> {
        self.contents().downloads.clone()
    }

    /// Why requests were refused, faults that were ordered left out.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.contents().refused.clone()
    }

    /// Whether every fault that was ordered has come.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let contents = self.contents();
        contents.list_faults.is_empty() && contents.file_faults.is_empty()
    }
}

impl Drop for Rds {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            let _joined: bool = listener.join().is_ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Shared) {
    scope(|requests| {
        while !shared.ended.load(Ordering::Acquire) {
            match listener.accept() {
                Ok((stream, _)) => {
                    requests.spawn(move || {
                        // A client that goes away is one of the things that happen.
                        let _answered: bool = serve(stream, shared).is_ok();
                    });
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    });
}

/// A status, and a body of which only a part may come.
struct Answer {
    status: u16,
    body: Vec<u8>,
    sent_len: usize,
}

impl Answer {
    fn whole(status: u16, body: Vec<u8>) -> Self {
        let sent_len = body.len();
        Self { status, body, sent_len }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while reader.read_line(&mut line)? > 2 {}
    if !line.ends_with("\r\n\r\n") {
        // It was stopped before it had asked.
        return Ok(());
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let answer = if path == "/" { list(query, shared) } else { file(path, query, shared) };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    )?;
    stream.write_all(answer.body.get(..answer.sent_len).unwrap_or_default())?;
    stream.flush()?;
    stream.shutdown(Shutdown::Both)
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn refusal(code: &str, message: &str) -> Vec<u8> {
    format!(r#"{{"RequestId":"1","Code":"{code}","Message":"{message}"}}"#).into_bytes()
}

/// Answers `DescribeBinlogFiles`.
fn list(query: &str, shared: &Shared) -> Answer {
    let mut contents = shared.contents.lock().unwrap_or_else(PoisonError::into_inner);
    contents.lists += 1;
    let asked = match sign::check(query, SECRET_KEY) {
        Ok(asked) => asked,
        Err(reason) => {
            contents.refused.push(reason);
            return Answer::whole(400, refusal("SignatureDoesNotMatch", "wrong signature"));
        }
    };
    let of = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let fixed = [
        ("Action", "DescribeBinlogFiles"),
        ("Version", "2014-08-15"),
        ("SignatureVersion", "1.0"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("Format", "JSON"),
        ("AccessKeyId", ACCESS_KEY),
        ("DBInstanceId", INSTANCE),
    ];
    if let Some((name, _)) = fixed.iter().find(|(name, value)| of(name) != *value) {
        contents.refused.push(format!("{name}={}", of(name)));
        return Answer::whole(404, refusal(&format!("Invalid{name}"), "not found"));
    }
    if !contents.nonces.insert(of("SignatureNonce").to_owned()) {
        contents.refused.push("a nonce came twice".to_owned());
        return Answer::whole(400, refusal("SignatureNonceUsed", "used before"));
    }
    match contents.list_faults.pop_front() {
        Some(RdsFault::Broken) => {
            return Answer::whole(500, refusal("InternalError", "try again"));
        }
        Some(RdsFault::Nonsense) => return Answer::whole(200, b"<html>".to_vec()),
        Some(RdsFault::Cut(_) | RdsFault::Expired | RdsFault::Late(_)) | None => {}
    }
    let (Some(begin), Some(end)) = (sign::unix_s(of("StartTime")), sign::unix_s(of("EndTime")))
    else {
        contents.refused.push(format!("StartTime={}", of("StartTime")));
        return Answer::whole(400, refusal("InvalidStartTime", "not a time"));
    };
    // The newest first, as nobody promised an order.
    let fitting: Vec<&Item> =
        contents.items.iter().rev().filter(|item| (begin..=end).contains(&item.begin_s)).collect();
    let page: usize = of("PageNumber").parse().unwrap_or(0);
    let skipped = page.saturating_sub(1) * shared.page_size;
    let items: Vec<String> = fitting
        .iter()
        .skip(skipped)
        .take(shared.page_size)
        .map(|item| described(item, shared.port))
        .collect();
    let body = format!(
        r#"{{"TotalRecordCount":{},"PageNumber":{page},"PageRecordCount":{},"Items":{{"BinLogFile":[{}]}}}}"#,
        fitting.len(),
        items.len(),
        items.join(",")
    );
    Answer::whole(200, body.into_bytes())
}

fn described(item: &Item, port: u16) -> String {
    let Item { host, name, packing, body, begin_s } = item;
    let tar = if *packing == Packing::Tar { ".tar" } else { "" };
    let expires = now_s() + 3600;
    format!(
        r#"{{"HostInstanceID":"{host}","FileSize":{},"LogBeginTime":"{}","LogEndTime":"{}","LinkExpiredTime":"{}","DownloadLink":"http://127.0.0.1:{port}/{host}/{name}{tar}?Expires={expires}&Signature=planted-link-signature"}}"#,
        body.len(),
        sign::moment(*begin_s),
        sign::moment(*begin_s + 60),
        sign::moment(expires),
    )
}

/// Answers for a link.
fn file(path: &str, query: &str, shared: &Shared) -> Answer {
    let mut contents = shared.contents.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &contents.watched {
        let entries = std::fs::read_dir(folder).map_or(0, Iterator::count);
        contents.most = contents.most.max(entries);
    }
    let mut parts = path.trim_start_matches('/').split('/');
    let (host, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = name.strip_suffix(".tar").unwrap_or(name);
    contents.downloads.push(name.to_owned());
    let denied = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>";
    if !query.contains("Signature=planted-link-signature") {
        contents.refused.push(format!("{path} without its signature"));
        return Answer::whole(403, denied.to_vec());
    }
    let found = contents.items.iter().find(|item| item.host == host && item.name == name).cloned();
    let Some(item) = found else {
        contents.refused.push(format!("{path} is not there"));
        return Answer::whole(404, b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
    };
    let body = match item.packing {
        Packing::Plain => item.body,
        Packing::Tar => tar(&item.name, &item.body),
    };
    match contents.file_faults.pop_front() {
        None => Answer::whole(200, body),
        Some(RdsFault::Broken) => Answer::whole(500, b"<Error/>".to_vec()),
        Some(RdsFault::Nonsense) => Answer::whole(200, vec![b'x'; body.len()]),
        Some(RdsFault::Expired) => Answer::whole(403, denied.to_vec()),
        Some(RdsFault::Late(time)) => {
            drop(contents);
            std::thread::sleep(time);
            Answer::whole(200, body)
        }
        Some(RdsFault::Cut(sent_len)) => Answer { status: 200, body, sent_len },
    }
}

/// A tar that holds a file behind one that wants to be somewhere else.
fn tar(name: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in [("../../../etc/evil", &b"root"[..]), (name, body)] {
        let mut head = name.as_bytes().to_vec();
        head.resize(100, 0);
        head.extend(b"0000644\x000000000\x000000000\x00");
        head.extend(format!("{:011o} 00000000000 ", content.len()).as_bytes());
        let tail = b"0\0";
        let sum: u64 = head.iter().chain(tail).map(|byte| u64::from(*byte)).sum::<u64>() + 8 * 32;
        head.extend(format!("{sum:06o}\0 ").as_bytes());
        head.extend(tail.get(..1).unwrap_or_default());
        // 156 bytes up to the checksum, one for the kind; what follows is empty here.
        head.resize(512, 0);
        out.extend(head);
        out.extend(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
