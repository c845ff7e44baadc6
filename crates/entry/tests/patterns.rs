//! Table filters against the matcher that Canal uses, by chance; and filters of the kinds that have
//! brought other engines down.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use towpath_entry::{FILTER_LEN_MAX, FilterError, TableFilter, filter_remarks, shown_filter};
use towpath_testkit::{Random, cache, setting};

fn atom(random: &mut Random, depth: u32) -> String {
    match random.index(if depth > 2 { 12 } else { 18 }) {
        0..4 => random.pick(&["a", "b", "A", "_", "1", "ab", "é"]).to_owned(),
        4 | 5 => {
            random.pick(&[".*", r"\w*", "[ab_]*", ".+", "(?:a|b|ab)*", "(_|1|b)*?"]).to_owned()
        }
        6 => ".".to_owned(),
        7 => r"\.".to_owned(),
        8 => random.pick(&[r"\d", r"\w", r"\D", r"\W", r"\s", r"\h", r"\x61", r"\101"]).to_owned(),
        9 => random
            .pick(&[
                "[ab]",
                "[^a]",
                "[a-z_]",
                "[A-B]",
                r"[\d_]",
                r"[^\w]",
                "[[:alpha:]]",
                "[]a]",
                "[a-]",
                "[[a]",
                "[a&&b]",
            ])
            .to_owned(),
        10 => random.pick(&["^", "$", r"\b", r"\B", r"\A", r"\Z"]).to_owned(),
        11 => random.pick(&["{", "a{", "}", "]", "{a}", "a{,2}", "-"]).to_owned(),
        12 | 13 => format!("({})", alternatives(random, depth + 1)),
        14 => format!("(?:{})", alternatives(random, depth + 1)),
        15 => format!("(?={})", alternatives(random, depth + 1)),
        16 => format!("(?!{})", alternatives(random, depth + 1)),
        _ => random.pick(&["a", "b", "_", "1", ".", "ab", r"\.", r"(a|b)\1"]).to_owned(),
    }
}

/// Whether a list falls into its parts at its commas: brackets count wherever they stand.
fn falls_apart(pieces: &[String]) -> bool {
    pieces.iter().all(|piece| {
        let mut depths = Vec::new();
        let (mut depth, mut escaped) = (0_i32, false);
        for c in piece.chars() {
            match c {
                _ if std::mem::take(&mut escaped) => {}
                '\\' => escaped = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                ',' => depths.push(depth),
                _ => {}
            }
        }
        depth == 0 && depths.iter().all(|depth| *depth != 0)
    })
}

fn concat(random: &mut Random, depth: u32) -> String {
    let count = random.index(4) + usize::from(depth == 0);
    let mut all = String::new();
    for _ in 0..count {
        let atom = atom(random, depth);
        all += &atom;
        // Of what has no length, Canal's matcher repeats some and some not.
        let has_len = !atom.starts_with("(?")
            && !atom.ends_with(['*', '+', '?'])
            && !["^", "$", r"\b", r"\B", r"\A", r"\Z"].contains(&&*atom);
        if has_len && random.index(3) == 0 {
            all += random.pick(&[
                "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,1}", "{1,}", "{2,3}?",
            ]);
        }
    }
    all
}

fn alternatives(random: &mut Random, depth: u32) -> String {
    let count = if random.index(3) == 0 { 1 + random.index(3) } else { 1 };
    (0..count).map(|_| concat(random, depth)).collect::<Vec<_>>().join("|")
}

fn name(random: &mut Random) -> String {
    (0..1 + random.index(5)).map(|_| random.pick(&["a", "b", "B", "_", "1", "é", "ab"])).collect()
}

/// What Canal's matcher says of patterns and names, and what Java's own says.
fn canal(cases: &[(Vec<String>, String)]) -> Vec<String> {
    let folder = tempfile();
    let jar = cache().join("clients/server-1.1.7/oro-2.0.8.jar");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oro/Match.java");
    let classes = format!("{}:{}", folder.display(), jar.display());
    let mut javac = Command::new("javac");
    javac.args(["-cp", &classes, "-d"]).arg(&folder).arg(source);
    assert!(javac.status().unwrap().success(), "run scripts/servers/fetch");
    let lines: String = cases
        .iter()
        .map(|(pieces, subject)| format!("{}\u{1}\u{2}{subject}\n", pieces.join("\u{1}")))
        .collect();
    let input = folder.join("cases");
    std::fs::write(&input, lines).unwrap();
    let output = Command::new("java")
        .args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", &classes, "Match"])
        .stdin(std::fs::File::open(input).unwrap())
        .output()
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("towpath-oro-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn patterns_by_chance_match_as_in_canal() {
    let seed = setting("TOWPATH_SEED").unwrap_or(0x2545_f491_4f6c_dd1d);
    println!("TOWPATH_SEED={seed}");
    let mut random = Random::new(seed);
    let mut cases = Vec::new();
    while cases.len() < 60_000 {
        let pieces: Vec<String> = (0..1 + random.index(3))
            .map(|_| match random.index(4) {
                0 => format!("{}.{}", name(&mut random), name(&mut random)),
                1 => format!(r"{}\..*", concat(&mut random, 0)),
                _ => alternatives(&mut random, 0),
            })
            .collect();
        if pieces.iter().any(String::is_empty) || !falls_apart(&pieces) {
            continue;
        }
        for _ in 0..4 {
            cases.push((pieces.clone(), format!("{}.{}", name(&mut random), name(&mut random))));
        }
    }
    let answers = canal(&cases);
    assert_eq!(answers.len(), cases.len());
    let (mut same, mut refused, mut canal_alone, mut wrong) = ([0, 0], 0, 0, Vec::new());
    for ((pieces, subject), answer) in cases.iter().zip(&answers) {
        let (schema, table) = subject.split_once('.').unwrap();
        let ours = match TableFilter::new(&pieces.join(","), "") {
            Err(error) => Err(error),
            Ok(filter) => filter.matches(schema, table),
        };
        match (answer.as_str(), &ours) {
            ("E" | "X", Err(_)) | ("X", _) | (_, Err(FilterError::TooComplex { .. })) => {
                refused += 1;
            }
            ("11" | "10" | "1E", Ok(true)) => same[1] += 1,
            ("00" | "01" | "0E", Ok(false)) => same[0] += 1,
            // Errors of Canal's matcher, with groups in what is repeated a number of times: Java's own says
            // what we say, or cannot read the pattern.
            ("01" | "0E", Ok(true)) | ("10" | "1E", Ok(false)) => canal_alone += 1,
            _ => wrong.push(format!("{pieces:?} on {subject}: Canal {answer}, here {ours:?}")),
        }
    }
    println!("same {same:?} refused {refused} Canal alone {canal_alone} wrong {}", wrong.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    assert!(canal_alone <= 5, "{canal_alone}");
    assert!(same[1] > 3_000 && same[0] > 30_000 && refused < 6_000, "{same:?} {refused}");
}

fn filter(text: &str) -> TableFilter {
    TableFilter::new(text, "").unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What other matchers say otherwise, as Canal's says it.
#[test]
fn the_first_way_counts_as_in_canal() {
    for (text, schema, table, want) in [
        // A round that took something, and then an empty one at the same place.
        (r"b|(\B|.{0,1}.*?)*|x", "aab", "b", false),
        (r"b|(|a)*|x", "a", "b", false),
        // An empty round ends one that is counted, too.
        (r"(.{2,3}?|(||.*)(a|b)\1|){2}", "a_bb", "1abbabab", false),
        (r"(.{2,3}?|(||.*)(a|b)\1|){2}", "a.", "ba.", true),
        (r"(^(-{2,3}?_{2}a|.{0,1}b)*?\s{0,1}){2,3}?", "bab", "b", false),
        (r"(^(a|\.)*?){2,}", "a", "a", false),
        // The longest part comes first, by its characters.
        (r"()*\b1*?|\w*b(?=b)|\W(?!1\D+),.+|(?!|\w*é{0,1}|_(_|1|b)*?)é", "1", "baaé1", false),
    ] {
        assert_eq!(filter(text).matches(schema, table), Ok(want), "{text}");
    }
}

/// Patterns that take other engines for ever, or to a limit that counts as "no match".
#[test]
fn no_pattern_takes_long_or_is_given_up() {
    let long = "a".repeat(64);
    let begun = Instant::now();
    for (text, schema, table, want) in [
        (r"(a+)+$", &*long, &*long, false),
        (r"(a+)+\.(a+)+", &long, &long, true),
        (r"(a|a)*\.(a|a|ab)*b", &long, &long, false),
        (r"(.*)*\.(.*)*(.*)*!", &long, &long, false),
        (r"(?=(a+)+b)a.*", &long, &long, false),
        (r"(?!(a+)+b)a.*", &long, &long, true),
        (r"((?!(a*)*(b|(?=(a*)*c))).)*", &long, &long, true),
        (r"a{1,64}a{1,64}a{1,64}\.a{64}", &long, &long, true),
        (r"(a{0,60}){0,60}\.b", &long, &long, false),
        (r"(\w+)\.\1", &long, &long, true),
        (r"(\w+)_\1\..*", "a_a", "t", true),
        (r"(a|)+(|a)+(a?)+\.(a?){64}", &long, &long, true),
        (r"db\.(?!tmp_)(?!.*_(bak|old)$)[a-z]+_\d{1,4}", "db", "order_17", true),
        (r"db\.(?!tmp_)(?!.*_(bak|old)$).*", "db", "order_bak", false),
    ] {
        assert_eq!(filter(text).matches(schema, table), Ok(want), "{text}");
        let black = TableFilter::new("", text).unwrap();
        assert_eq!(black.matches(schema, table), Ok(!want), "black {text}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // What cannot be bounded is refused.
    for (text, want) in [
        (r"(a+)+\1", "too many ways"),
        (r"(\w*\d*)*(\w)\2", "must not be empty"),
        (r"(.+)(.+)(.+)(.+)(.+)\1", "too many ways"),
        (r"(?!.*(?!.*(?!.*(?!.*(?!.*x)))))", "too many ways"),
        (r"((((a{99}){99}){99}){99})", "too large"),
        (r"a{70000}", "counts to 65535"),
        (r"(?<=a)b", "look-behind"),
        (r"a**", "a repetition follows a repetition"),
        (r"a++", "a repetition follows a repetition"),
        (r"*.a", "follows nothing"),
        (r"a([", "not closed"),
        (r"a)", "closes nothing"),
        (r"\2(a)", "a group that is not there"),
        (&"(".repeat(5_000), "too deeply"),
    ] {
        let error = TableFilter::new(text, "").unwrap_err().to_string();
        assert!(error.contains(want) && error.len() < 400, "{text}: {error}");
    }
}

/// A list that a program wrote: every table of a large system, each by its name.
#[test]
fn thousands_of_tables_are_one_filter() {
    let kinds: [fn(usize) -> String; 5] = [
        |n| format!(r"db_{}\.order_{n}", n % 40),
        |n| format!("db_{}.Order_{n}", n % 40),
        |n| format!(r"db_{n}\..*"),
        |n| format!(r"db\.order_{n}_\d{{1,4}}"),
        |n| format!(r"db\.(?!tmp)order_{n}"),
    ];
    for (kind, make) in kinds.iter().enumerate() {
        let begun = Instant::now();
        let text = (0..5_000).map(make).collect::<Vec<_>>().join(",");
        let list = filter(&text);
        let built = begun.elapsed();
        let begun = Instant::now();
        for n in (0..6_000).step_by(if kind < 3 { 1 } else { 100 }) {
            let (schema, table) = match kind {
                0 | 1 => (format!("DB_{}", n % 40), format!("order_{n}")),
                2 => (format!("db_{n}"), "any".to_owned()),
                3 => ("db".to_owned(), format!("ORDER_{n}_17")),
                _ => ("db".to_owned(), format!("order_{n}")),
            };
            assert_eq!(list.matches(&schema, &table), Ok(n < 5_000), "{schema}.{table}");
        }
        println!(
            "{kind}: {} bytes, built in {built:?}, asked in {:?}",
            text.len(),
            begun.elapsed()
        );
        assert!(built < Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(10));
    }
    let excluded = (0..5_000).map(|n| format!("t_{n}")).collect::<Vec<_>>().join("|");
    let list = filter(&format!(r"db\.(?!({excluded})$).*"));
    assert_eq!(list.matches("db", "t_4999"), Ok(false));
    assert_eq!(list.matches("db", "t_5000"), Ok(true));
}

#[test]
fn a_filter_is_bounded() {
    let error = TableFilter::new(&"a".repeat(FILTER_LEN_MAX + 1), "").unwrap_err();
    assert_eq!(error, FilterError::TooLong { len: FILTER_LEN_MAX + 1 });
    let text = r"[a-z]\d,".repeat(FILTER_LEN_MAX / 8);
    let error = TableFilter::new(&text, "").unwrap_err();
    assert!(matches!(error, FilterError::TooComplex { .. }), "{error:?}");
    // Bytes that compiling takes: a few times the text.
    let text = r"(?!x)[ab]\.\w*,".repeat(16_000);
    let taken = allocation_counter::measure(|| assert!(TableFilter::new(&text, "").is_ok()));
    assert!(taken.bytes_max < 100 * u64::try_from(text.len()).unwrap(), "{taken:?}");
}

/// Filters that were made to take time or memory: read, refused or matched within bounds. What is refused
/// is told by its reason.
#[test]
fn hostile_filters_are_bounded() {
    let many = |part: &str| part.repeat(FILTER_LEN_MAX / part.len());
    let inside = |open: &str, child: &str, close: &str, depth: usize| {
        format!("{}{child}{}", open.repeat(depth), close.repeat(depth))
    };
    let letters: String = ('\u{4e00}'..).take(100_000).collect();
    let long = "a".repeat(64);
    for (name, text, refused) in [
        ("braces", many("{"), None),
        ("braces and digits", many("{1,"), None),
        ("names of classes", format!("[{}]", many("[:").split_off(2)), None),
        ("numbers", format!(r"\{}", "1".repeat(500_000)), None),
        ("comments", many("(?#)"), None),
        ("groups", many("()"), None),
        ("nothing", "(){65535}".to_owned(), None),
        ("nothing over and over", inside("(", "", "){65535}", 90), None),
        ("perhaps nothing", inside("(", "", "){0,65535}", 90), None),
        ("nothing for ever", inside("(", "", ")*", 90), None),
        ("no copies", inside("(", "a{0}", "){65535}", 90), None),
        ("much of nothing", format!("({}a){{65535}}", "()".repeat(200_000)), Some("too large")),
        ("copies", inside("(", "a", "){2}", 90), Some("too large")),
        ("copies of a class", format!("[{letters}]{{60000}}"), Some("too many ways")),
        ("a class of everything", format!(r"\w*[{letters}]"), None),
        ("classes", many("[ab][^ab],"), None),
        ("a class in a look-ahead", format!(".*(?=.*[{letters}])"), Some("too many ways")),
        ("a class beside a reference", format!(r"(a)*\1[{letters}]*"), Some("too many ways")),
        ("look-aheads", format!(".*({}b)", "(?=a)|".repeat(10_000)), None),
        ("look-aheads in all", many(r".*(?=.*(?=.*a)),"), Some("too many ways")),
        ("nested look-aheads", inside("(?=", &"b".repeat(200_000), ")", 90), Some("too often")),
        ("references", format!(r"(a){}", r"\1".repeat(100_000)), None),
        (
            "groups, look-aheads and a reference",
            format!(r"{}(a){}\5", "()".repeat(10_000), "(?=a)".repeat(10_000)),
            None,
        ),
        ("lazy ways", format!("({})*", "a??".repeat(35_000)), None),
        ("alternatives", many("a|"), Some("too large")),
    ] {
        let begun = Instant::now();
        let mut outcome = Ok(true);
        let memory = allocation_counter::measure(|| {
            outcome = TableFilter::new(&text, "").and_then(|filter| filter.matches(&long, &long));
        });
        let (taken, mib) = (begun.elapsed(), memory.bytes_max >> 20);
        println!("{name}: {taken:?}, {mib} MiB: {:.40}", format!("{outcome:?}"));
        match (&outcome, refused) {
            (Err(error @ FilterError::TooComplex { .. }), Some(why)) => {
                assert!(error.to_string().contains(why), "{name}: {error}");
            }
            (Ok(_) | Err(FilterError::Syntax { .. } | FilterError::GivenUp { .. }), None) => {}
            _ => panic!("{name}: {outcome:?}"),
        }
        assert!(taken < Duration::from_secs(20), "{name}: {taken:?}");
        assert!(mib < 128, "{name}: {mib} MiB");
    }
}

/// A name as no server has it is not matched by patterns that would need memory for each of its characters.
#[test]
fn a_name_that_is_no_name_is_given_up() {
    let long = "a".repeat(1 << 20);
    let copies = filter(r"a{50000}\..*");
    let error = copies.matches(&long, "t").unwrap_err();
    assert!(matches!(error, FilterError::GivenUp { .. }), "{error:?}");
    assert!(error.to_string().len() < 400, "{error}");
    assert_eq!(copies.matches(&long[..500], &long[..500]), Ok(false));
    assert_eq!(filter(r"b\..*,aa.*").matches(&long, "t"), Ok(true));
}

/// A filter that is not what it seems is told of, as it was given.
#[test]
fn odd_filters_are_remarked() {
    for (text, want) in [
        (
            r"h\\..*",
            Some(r"`h\\..*` matches only names with a backslash in them: was `h\..*` meant?"),
        ),
        (r"a\..*, b\..*", Some("begins or ends with a blank")),
        ("shop", Some(r"was `shop\..*` meant?")),
        (r"shop\.\horder", Some(r"`\h` is the character `h`")),
        (r"shop\.order", None),
        ("shop.order", None),
        (r"shop\..*,.*\.log_\d+", None),
        ("", None),
        (".*", None),
    ] {
        let remarks = filter_remarks(text);
        assert_eq!(remarks.len(), usize::from(want.is_some()), "{remarks:?}");
        assert!(want.is_none_or(|want| remarks[0].contains(want)), "{remarks:?}");
    }
    let many = filter_remarks(&"shop,".repeat(5_000));
    assert_eq!((many.len(), &*many[5]), (6, "4995 more parts are like these"));
    assert_eq!(shown_filter("a\\..*\u{1b}[1m\n"), "a\\..*\\u{1b}[1m\\n");
    assert!(shown_filter(&"x".repeat(1 << 20)).len() < 300);
}

/// Nothing that a client sends brings it down.
#[test]
fn any_text_is_a_filter_or_an_error() {
    let mut random = Random::new(0x1234_5678_9abc_def1);
    let parts = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\",
        "*",
        "+",
        "?",
        ",",
        "|",
        "^",
        "$",
        ".",
        "-",
        "1",
        "é",
        ":",
        "=",
        "!",
        "#",
        "x",
        "c",
        "\0",
        "\u{10ffff}",
        "[:alpha:]",
        "(?",
        "9999999999",
        "\\8",
        "\\c",
        "\\x",
        "{1,",
    ];
    for _ in 0..200_000 {
        let text: String = (0..1 + random.index(12)).map(|_| random.pick(&parts)).collect();
        if let Ok(filter) = TableFilter::new(&text, &text) {
            assert!(filter.matches("a", "b1é").is_ok(), "{text}");
        }
        let _remarks: Vec<String> = filter_remarks(&text);
    }
}
