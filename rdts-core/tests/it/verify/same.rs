//! What is the same is not reported.

use rdts_core::verify::Mode;
use rdts_testkit::{FillOptions, Server};

use super::{MODES, follow, quick, twins, verify};

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_encodings_do_not_matter() {
    for (one, two, three) in [("redis-5.0", "redis-7.0", "valkey-9.1"), ("redis-2.8", "redis-3.2", "redis-8.2")] {
        let (first, second) = twins(one, two, &FillOptions::mixed(400));
        let third = Server::start(three);
        follow(&second, &third);
        third.promote();
        for (from, to) in [(&first, &second), (&second, &third), (&third, &first)] {
            for mode in MODES {
                let report = verify(&from.url(), &to.url(), quick().mode(mode)).await;
                let places = (from.name(), to.name());
                assert!(report.equal && report.keys.is_empty(), "{places:?} {mode:?}: {report}");
                assert!(report.compared >= 400, "{places:?} {mode:?}: {report}");
            }
            let report = verify(&from.url(), &to.url(), quick().big(0)).await;
            assert!(report.equal, "in pieces, {} {}: {report}", from.name(), to.name());
        }
    }
}

/// Fields that expire are part of a hash, whether it is read as a whole or in pieces.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_expire() {
    for (one, two) in [("redis-8.2", "redis-8.2"), ("valkey-9.1", "valkey-9.1")] {
        let (source, target) = twins(one, two, &FillOptions::mixed(100));
        source.cmd(&["HSET", "h", "a", "1", "b", "2"]);
        source.cmd(&["HPEXPIREAT", "h", "4000000000000", "FIELDS", "1", "a"]);
        target.cmd(&["HSET", "h", "a", "1", "b", "2"]);
        for options in [quick(), quick().big(0)] {
            let report = verify(&source.url(), &target.url(), options).await;
            assert_eq!((report.differences.value, report.differences.total()), (1, 1), "{one}: {report}");
        }
        let repaired = verify(&source.url(), &target.url(), quick().big(0).repair(true)).await;
        assert!(repaired.equal && repaired.repaired == 1, "{one}: {repaired}");
        for options in [quick(), quick().big(0)] {
            assert!(verify(&source.url(), &target.url(), options).await.equal, "{one}");
        }
    }
}

/// Keys that expire meanwhile, on one side a little before the other.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_expire_are_no_differences() {
    let (source, target) = twins("redis-7.0", "redis-7.0", &FillOptions::mixed(100));
    for number in 0..300 {
        source.cmd(&["SET", &format!("one side:{number}"), "x", "PX", &(number + 1).to_string()]);
        target.cmd(&["SET", &format!("other side:{number}"), "x", "PX", &(number + 1).to_string()]);
    }
    for mode in MODES {
        let report = verify(&source.url(), &target.url(), quick().mode(mode)).await;
        assert!(report.equal, "{mode:?}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_our_own_in_the_target_do_not_count() {
    let (source, target) = twins("redis-7.0", "redis-7.0", &FillOptions::mixed(100));
    for key in ["rdts:checkpoint:task/0", "rdts:partial:{x}", "rdts:tmp:{x}:1"] {
        target.cmd(&["SET", key, "x"]);
    }
    for mode in [Mode::Count, Mode::Outline, Mode::Full] {
        let report = verify(&source.url(), &target.url(), quick().mode(mode)).await;
        assert!(report.equal, "{mode:?}: {report}");
    }
}
