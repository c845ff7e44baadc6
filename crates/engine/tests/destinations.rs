//! Destinations that come, change, fail and go while others run.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use towpath_engine::{EngineError, Fitness, Wait};
use towpath_protocol::entry::Entry;
use towpath_testkit::{Random, setting};

use crate::fixture::{
    PATIENCE, STOP, by_hand, config, engine, files, golden, next, numbered, numbers, until, worker,
};

/// Kilobytes of memory that this process has.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// `TOWPATH_CHURN_S` and `TOWPATH_CHURN_NAMES` make it longer, and with more destinations.
#[tokio::test(crate = "towpath_testkit")]
async fn destinations_come_and_go_while_another_runs() {
    let length = Duration::from_secs(setting("TOWPATH_CHURN_S").unwrap_or(3));
    let names = setting("TOWPATH_CHURN_NAMES").unwrap_or(20);
    let (mut half_kb, mut slowest) = (None, Duration::ZERO);
    let (engine, _folder) = engine();
    let feed = by_hand(&engine, "steady").await;
    let mut steady = worker(&engine, "steady").await;
    let (mut random, begun) = (Random::new(17), Instant::now());
    let mut number = 0;
    while begun.elapsed() < length {
        let name = format!("d{}", random.below(names));
        if random.below(3) == 0 {
            engine.stop(&name, STOP).await.unwrap();
            assert!(!engine.has(&name));
        } else {
            engine.start(config(&name, files(&golden("statements")))).await.unwrap();
            assert!(engine.has(&name));
        }
        let sent = Instant::now();
        feed.send(numbered(number)).await.unwrap();
        let batch = next(&mut steady, 1).await;
        slowest = slowest.max(sent.elapsed());
        if half_kb.is_none() && begun.elapsed() > length / 2 {
            half_kb = Some(resident_kb());
        }
        assert_eq!(numbers(&batch), [number]);
        steady.ack(batch.id).unwrap();
        number += 1;
    }
    assert!(number > 20, "{number} rounds");
    let (half_kb, end_kb) = (half_kb.unwrap_or_default(), resident_kb());
    let count = engine.look().len();
    println!(
        "{number} changes, {count} destinations, {half_kb} kB, then {end_kb} kB; slowest {slowest:?}"
    );
    let closed = timeout(PATIENCE, engine.close(PATIENCE)).await;
    closed.unwrap().unwrap();
    let again = engine.start(config("late", files(&golden("statements")))).await;
    assert!(matches!(again, Err(EngineError::Closed { .. })), "{again:?}");
}

/// The state of a destination is open once only, whoever starts and stops it at the same time.
#[tokio::test(crate = "towpath_testkit")]
async fn starts_and_stops_of_one_name_take_turns() {
    let (engine, _folder) = engine();
    for _ in 0..20 {
        let begin = || engine.start(config("example", files(&golden("statements"))));
        let stop = || engine.stop("example", STOP);
        let (one, two, three, four) = tokio::join!(begin(), stop(), begin(), stop());
        one.and(three).unwrap();
        two.and(four).unwrap();
        assert!(!engine.has("example"));
    }
    engine.start(config("example", files(&golden("statements")))).await.unwrap();
    let mut subscription = worker(&engine, "example").await;
    assert!(!next(&mut subscription, 1).await.slices.is_empty());
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_reload_goes_on_behind_what_was_acknowledged() {
    let (engine, _folder) = engine();
    engine.start(config("example", files(&golden("types-fullmeta")))).await.unwrap();
    let mut places = Vec::new();
    for _ in 0..3 {
        let mut subscription = worker(&engine, "example").await;
        let batch = next(&mut subscription, 1).await;
        let bytes = batch.slices.concat();
        for entry in &towpath_protocol::Messages::parse(&bytes).unwrap().entries {
            places.push(Entry::parse(entry).unwrap().header.logfile_offset);
        }
        subscription.ack(batch.id).unwrap();
        engine.start(config("example", files(&golden("types-fullmeta")))).await.unwrap();
        // The old term's subscription says that it is over.
        let over = async {
            while subscription.next(1, Wait::Not).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, over).await.expect("the old term goes on");
        timeout(PATIENCE, engine.served("example")).await.unwrap();
    }
    let last = places.last().copied();
    assert!(places.first().copied() < last, "each term begins anew: {places:?}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn settings_that_do_not_work_change_nothing() {
    let (engine, folder) = engine();
    engine.start(config("example", files(&golden("statements")))).await.unwrap();
    let mut subscription = worker(&engine, "example").await;
    let error = engine.start(config("example", files(&folder.path().join("missing")))).await;
    let error = error.unwrap_err();
    assert!(matches!(error, EngineError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("missing: No such file"), "{error}");
    assert!(!next(&mut subscription, 1).await.slices.is_empty());
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_destination_that_fails_is_tried_until_it_works() {
    let (engine, folder) = engine();
    let place = folder.path().join("binlogs");
    engine.start(config("example", files(&place))).await.unwrap();
    until(&engine, "example", |look| {
        look.trouble.as_ref().is_some_and(|trouble| trouble.failure_count >= 2)
    })
    .await;
    let look = engine.look_at("example").unwrap();
    assert_eq!(look.fitness(), Fitness::Fails);
    assert!(look.error().unwrap().to_string().contains("binlogs: No such file"));
    std::fs::create_dir(&place).unwrap();
    let file = golden("statements").join("mysql-bin.000001");
    std::fs::copy(file, place.join("mysql-bin.000001")).unwrap();
    until(&engine, "example", |look| look.trouble.is_none()).await;
    assert_eq!(engine.look_at("example").unwrap().fitness(), Fitness::Serves);
    let mut subscription = worker(&engine, "example").await;
    assert!(!next(&mut subscription, 1).await.slices.is_empty());
}
