//! The date: which moments there are, how they are written, and the day that the scope repeats.

use std::time::Duration;

use iamgate::clock::UnixTime;
use iamgate::token::{Malformed, Refusal, Stale, Verifier};

use super::refused;
use crate::support::script::Script;
use crate::support::vector::{NOW, Vector, accept, scope};

/// The good token signed at `date`, with the scope of that day.
fn signed(date: &str) -> Vector {
    let day = date.get(..8).unwrap_or(date);
    Vector::good().set("X-Amz-Date", date).set("X-Amz-Credential", &scope(day, "us-west-2"))
}

#[tokio::test]
async fn a_date_is_a_moment_that_there_is_in_the_basic_form() {
    for date in [
        "20260102T240000Z",
        "20260102T235960Z",
        "20260102T236000Z",
        "20260102T030460Z",
        "20260102T030461Z",
        "20260102T250000Z",
        "20260102T990000Z",
        "20260102T009900Z",
        "20260002T030405Z",
        "20261302T030405Z",
        "20260100T030405Z",
        "20260132T030405Z",
        "20260431T030405Z",
        "20260229T030405Z",
        "19000229T030405Z",
        "21000229T030405Z",
        "20260230T030405Z",
        "99999999T999999Z",
        "99991231T235959Z",
        "20260102T030405",
        "20260102T0304Z",
        "20260102T03Z",
        "20260102Z",
        "20260102",
        "2026-01-02T03:04:05Z",
        "20260102T030405z",
        "20260102t030405Z",
        "20260102_030405Z",
        "20260102T030405%5A",
        "20260102%54030405Z",
        "20260102T030405.0Z",
        "20260102T030405,0Z",
        "20260102T030405%2B0000",
        "20260102T030405-0000",
        "20260102T030405UTC",
        "20260102T030405ZZ",
        "+0260102T030405Z",
        "-0260102T030405Z",
        "120260102T030405Z",
        "020260102T030405Z",
        "2026002T030405Z",
        "2026W011T030405Z",
        "1767323045",
        "1767323045000",
        "Fri,02Jan2026",
        "20260102T-10405Z",
        "20260102T+10405Z",
        "20260102T03-405Z",
        "20260102T0304-5Z",
        "2026010aT030405Z",
    ] {
        refused(&signed(date), Malformed::Date).await;
    }
    let late = |seconds| Refusal::from(Stale::Late(Duration::from_secs(seconds)));
    for (date, fault) in [
        ("00000101T000000Z", late(NOW.as_secs())),
        ("00010101T000000Z", late(NOW.as_secs())),
        ("19691231T235959Z", late(NOW.as_secs())),
        ("19700101T000000Z", late(NOW.as_secs())),
        ("19700101T000001Z", late(NOW.as_secs() - 1)),
        ("20000229T000000Z", late(NOW.as_secs() - 951_782_400)),
    ] {
        refused(&signed(date), fault).await;
    }
    let leap = Stale::Early(Duration::from_secs(1_835_395_200 - NOW.as_secs()));
    refused(&signed("20280229T000000Z"), leap).await;
}

#[tokio::test]
async fn the_scopes_day_is_the_dates_day_also_at_midnight() {
    const MIDNIGHT: UnixTime = UnixTime::from_secs(1_767_312_000);
    let judge = |date: &str, day: &str, now: u64| {
        let scope = scope(day, "us-west-2");
        let vector = Vector::good().set("X-Amz-Date", date).set("X-Amz-Credential", &scope);
        let verifier = Verifier::new(Script::default(), UnixTime::from_secs(now));
        verifier.admit(&vector.token(), &accept(&["c"])).map(|_| ())
    };
    let other_day = Err(Refusal::from(Malformed::ScopeDate));
    for now in [MIDNIGHT.as_secs() - 1, MIDNIGHT.as_secs(), MIDNIGHT.as_secs() + 1] {
        for (date, day, want) in [
            ("20260101T235959Z", "20260101", Ok(())),
            ("20260102T000000Z", "20260102", Ok(())),
            ("20260101T235959Z", "20260102", other_day),
            ("20260102T000000Z", "20260101", other_day),
            ("20260102T000000Z", "2026-01-02", other_day),
            ("20260102T000000Z", "20260102T000000Z", other_day),
            ("20260102T000000Z", "020260102", other_day),
            ("20260102T000000Z", "", other_day),
        ] {
            assert_eq!(judge(date, day, now), want, "{date} {day} at {now}");
        }
    }
}
