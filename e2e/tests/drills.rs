//! The failure drills, on a stack of plain processes, each followed by the history checker.
//! Needs the running stack: through `make test`, or `. .stack/env`. `CPQ_DRILL_DEALS` changes the load, and
//! `CPQ_DRILL_SEED` repeats a plan of faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::drill::{Drill, Extent};
use cpq_e2e::settings::number;
use rstest::rstest;
use std::sync::LazyLock;
use tokio::sync::Mutex;

/// One drill at a time: each breaks what the others stand on.
static ONE_AT_A_TIME: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// `deals`: enough that every fault lands on work.
#[rstest]
#[case::fault_51_an_order_worker_that_is_down_delays_an_order_and_doubles_none(Drill::AcceptQuoteTimeout, 0)]
#[case::fault_24_commands_are_accepted_without_kafka_and_drain_in_order(Drill::BrokerDown, 60)]
#[case::faults_1_2_7_8_13_16_killing_services_loses_and_doubles_nothing(Drill::KillServices, 200)]
#[case::fault_34_without_redis_everything_goes_on(Drill::RedisDown, 60)]
#[case::fault_35_an_engine_that_is_down_is_waited_for(Drill::EngineDown, 60)]
#[case::fault_17_a_database_that_restarts_loses_nothing(Drill::PostgresRestart, 60)]
#[case::faults_6_15_a_rolling_restart_under_load_causes_no_error_and_no_reorder(Drill::RollingRestart, 0)]
#[case::faults_1_2_5_to_10_13_15_16_18_under_fire_the_history_holds(Drill::UnderFire, 0)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_history_holds_after(#[case] drill: Drill, #[case] deals: usize) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let deals = number("CPQ_DRILL_DEALS", deals).unwrap();
    let mut extent = Extent { deals, ..Extent::default() };
    if let Ok(seed) = std::env::var("CPQ_DRILL_SEED") {
        extent.seed = seed.parse().unwrap();
    }
    println!("{}", drill.run(extent).await.unwrap());
}
