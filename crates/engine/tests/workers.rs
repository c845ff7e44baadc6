//! A part of the process that takes entries, as a queue or a target does.

use towpath_engine::{RollBack, Subscription, Wait};

use crate::fixture::{STOP, by_hand, engine, next, numbered, numbers, worker};

/// All that a consumer of another kind needs.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = next(subscription, 1).await;
        all.extend(numbers(&batch));
        subscription.ack(batch.id).unwrap();
    }
    all
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_a_worker_has_not_acknowledged_comes_to_the_next_one() {
    let (engine, _folder) = engine();
    let feed = by_hand(&engine, "example").await;
    let mut first = worker(&engine, "example").await;
    feed.send(numbered(0)).await.unwrap();
    assert_eq!(take(&mut first, 1).await, [0]);
    for number in 1..3 {
        feed.send(numbered(number)).await.unwrap();
    }
    assert!(numbers(&next(&mut first, 1).await).starts_with(&[1]));
    drop(first);
    let mut second = worker(&engine, "example").await;
    assert_eq!(take(&mut second, 2).await, [1, 2]);
    engine.close(STOP).await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_worker_that_was_replaced_gives_nothing_back() {
    let (engine, _folder) = engine();
    let feed = by_hand(&engine, "example").await;
    let old = worker(&engine, "example").await;
    let mut new = worker(&engine, "example").await;
    feed.send(numbered(0)).await.unwrap();
    let batch = next(&mut new, 1).await;
    drop(old);
    new.ack(batch.id).unwrap();
    assert_eq!(new.next(1, Wait::Not).await.unwrap().map(|batch| batch.id), None);
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_is_rolled_back_comes_again() {
    let (engine, _folder) = engine();
    let feed = by_hand(&engine, "example").await;
    let mut worker = worker(&engine, "example").await;
    feed.send(numbered(7)).await.unwrap();
    for what in [RollBack::From(1), RollBack::All] {
        assert_eq!(numbers(&next(&mut worker, 1).await), [7]);
        worker.roll_back(what).unwrap();
    }
    assert_eq!(take(&mut worker, 1).await, [7]);
}
