//! The answer of `DescribeBinlogFiles`.

use jiff::Timestamp;
use serde_json::Value;
use towpath_binlog::FileName;

/// A binlog file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchivedFile {
    /// As the server called it.
    pub(super) name: String,
    pub(super) number: u64,
    /// The host that wrote it: an instance has several, whose files have the same names.
    pub(super) host: String,
    /// Where it is, for a while. Whoever has the link has the file.
    pub(super) link: String,
    pub(super) len: Option<u64>,
    /// Time of its first event.
    pub(super) begin_s: Option<u64>,
    /// When the link ends.
    pub(super) expires_s: Option<u64>,
}

/// A page of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) files: Vec<ArchivedFile>,
    /// Items on the page, readable or not.
    pub(super) item_count: u64,
    /// Items on all pages.
    pub(super) total_count: Option<u64>,
}

/// Numbers come as numbers or as texts.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str().map(ToOwned::to_owned);
    text.or_else(|| value.as_u64().map(|number| number.to_string()))
}

fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

fn moment(value: &Value) -> Option<u64> {
    let moment: Timestamp = value.as_str()?.parse().ok()?;
    u64::try_from(moment.as_second()).ok()
}

/// `mysql-bin.000007` of a name, with or without `.tar` behind it.
fn plain(name: &str) -> Option<(String, u64)> {
    let name = name.strip_suffix(".tar").unwrap_or(name);
    let FileName { base, number } = FileName::parse(name)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = !base.is_empty() && !base.starts_with('.') && base.chars().all(is_plain);
    (fits && name.len() < 200).then(|| (name.to_owned(), number))
}

fn file(item: &Value) -> Option<ArchivedFile> {
    let link = item.get("DownloadLink")?.as_str()?.trim().to_owned();
    let in_link = || link.split(['?', '#']).next()?.rsplit('/').next().and_then(plain);
    let named = item.get("LogFileName").and_then(Value::as_str).and_then(plain);
    let (name, number_of) = named.or_else(in_link)?;
    // One that is still on its way there is not whole.
    let status = item.get("RemoteStatus").and_then(Value::as_str).unwrap_or("Completed");
    (status == "Completed").then_some(())?;
    Some(ArchivedFile {
        name,
        number: number_of,
        host: item.get("HostInstanceID").and_then(text).unwrap_or_default(),
        link,
        len: item.get("FileSize").and_then(number),
        begin_s: item.get("LogBeginTime").and_then(moment),
        expires_s: item.get("LinkExpiredTime").and_then(moment),
    })
}

/// Reads a page; what is wrong with it otherwise.
pub(super) fn parse(bytes: &[u8]) -> Result<Page, String> {
    let answer: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let items = answer.pointer("/Items/BinLogFile").and_then(Value::as_array);
    let items = items.ok_or("the answer has no Items.BinLogFile")?;
    let files: Vec<ArchivedFile> = items.iter().filter_map(file).collect();
    if files.len() < items.len() {
        let count = items.len() - files.len();
        tracing::warn!(
            count,
            "listed files that are not whole, or not named like mysql-bin.000001"
        );
    }
    let item_count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let total_count = answer.get("TotalRecordCount").and_then(number);
    Ok(Page { files, item_count, total_count })
}

/// Code and message of a refusal: the service answers with JSON, the object store with XML.
pub(super) fn refusal(bytes: &[u8]) -> (String, String) {
    const SHOWN_LEN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let field = |name: &str| {
        let in_json = serde_json::from_slice::<Value>(bytes)
            .ok()
            .and_then(|answer| answer.get(name).and_then(Value::as_str).map(ToOwned::to_owned));
        let in_xml = || {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let value = in_json.or_else(in_xml).unwrap_or_default();
        value.chars().take(SHOWN_LEN).collect()
    };
    (field("Code"), field("Message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_the_forms_that_the_service_has() {
        let page = parse(
            br#"{"TotalRecordCount": 5, "PageRecordCount": "3", "Items": {"BinLogFile": [
            {"DownloadLink": " http://o/1/mysql-bin.000009.tar?Expires=1&Signature=x ",
             "HostInstanceID": 11, "FileSize": 512, "LogBeginTime": "2001-09-09T01:46:40Z",
             "LogEndTime": "2001-09-09T01:46:50Z", "LinkExpiredTime": "2001-09-09T02:46:40Z"},
            {"DownloadLink": "http://o/f?x", "LogFileName": "a.b-bin.1000000", "HostInstanceID": "b"},
            {"DownloadLink": "http://o/../mysql-bin.x"},
            {"DownloadLink": "http://o/mysql-bin.000010", "RemoteStatus": "Uploading"}]}}"#,
        );
        let page = page.unwrap();
        assert_eq!((page.item_count, page.total_count, page.files.len()), (4, Some(5), 2));
        let first = &page.files[0];
        assert_eq!(
            (first.name.as_str(), first.number, first.host.as_str()),
            ("mysql-bin.000009", 9, "11")
        );
        assert_eq!((first.len, first.begin_s), (Some(512), Some(1_000_000_000)));
        assert_eq!(first.expires_s, Some(1_000_003_600));
        assert!(first.link.starts_with("http://o/1/"));
        assert_eq!(
            (page.files[1].name.as_str(), page.files[1].number),
            ("a.b-bin.1000000", 1_000_000)
        );
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["", "<html>", "{}", r#"{"Items": []}"#, r#"{"Items": {"BinLogFile": 7}}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        for name in ["mysql-bin", "../x.1", ".1", "a/b.1", "x.", "x.1a", "x.99999999999999999999"] {
            assert_eq!(plain(name), None, "{name}");
        }
        assert_eq!(refusal(br#"{"Code":"A","Message":"b"}"#), ("A".to_owned(), "b".to_owned()));
        let xml =
            b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>";
        assert_eq!(refusal(xml).0, "AccessDenied");
    }
}
