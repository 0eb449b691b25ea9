use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::wire;
use super::*;
use crate::clock::UnixTime;
use crate::identity::Partition;

/// 2026-01-02T03:04:05Z, when every token here was signed.
const SIGNED: u64 = 1_767_323_045;

#[derive(Default)]
struct At(AtomicU64);

impl Clock for &At {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Nobody;

impl Sts for Nobody {
    async fn ask(&self, _: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        Err(StsUnavailable::Connect)
    }
}

fn token(signature: usize) -> Secret {
    wire::wrap(&format!(
        "https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15\
         &X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60\
         &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature={signature:064x}"
    ))
}

fn accept() -> Acceptance {
    Acceptance {
        cluster_ids: vec!["c".parse().unwrap()],
        hosts: HostPolicy::new(Partition::Aws),
        max_age: Age::from_secs(60).unwrap(),
    }
}

#[test]
fn a_token_that_comes_too_early_is_good_when_its_time_has_come() {
    let clock = At::default();
    let verifier = Verifier::new(Nobody, &clock);
    let judge = |now: u64| {
        clock.0.store(now, Ordering::Relaxed);
        verifier.admit(&token(1), &accept()).map(|_| ())
    };
    let early = Stale::Early(Duration::from_secs(301));
    assert_eq!(judge(SIGNED - 301), Err(early.into()));
    assert_eq!(judge(SIGNED - 300), Ok(()));
    assert_eq!(judge(SIGNED + 60), Ok(()));
    assert_eq!(judge(SIGNED + 61), Err(Stale::Late(Duration::from_secs(61)).into()));
    assert_eq!(judge(SIGNED), Err(Stale::Remembered.into()));
}

#[test]
fn of_outdated_tokens_so_many_are_remembered_and_no_more() {
    let clock = At(AtomicU64::new(SIGNED + 61));
    let verifier = Verifier::new(Nobody, &clock);
    for signature in 0..=OUTDATED {
        let late = Stale::Late(Duration::from_secs(61));
        assert_eq!(verifier.admit(&token(signature), &accept()).unwrap_err(), late.into());
        assert_eq!(
            verifier.admit(&token(signature), &accept()).unwrap_err(),
            Stale::Remembered.into(),
            "remembered once, not once more"
        );
    }
    assert_eq!(verifier.outdated.lock().unwrap().len(), OUTDATED);
    clock.0.store(SIGNED, Ordering::Relaxed);
    let judge = |signature| verifier.admit(&token(signature), &accept()).map(|_| ());
    assert_eq!(judge(0), Ok(()), "the oldest has made room");
    assert_eq!(judge(1), Err(Stale::Remembered.into()));
    assert_eq!(judge(OUTDATED), Err(Stale::Remembered.into()));
}

#[test]
fn the_age_of_a_token_is_one_to_fifteen_minutes() {
    use super::super::TokenAgeError;
    for (seconds, fits) in [(59, false), (60, true), (900, true), (901, false), (0, false)] {
        let want = if fits { Ok(()) } else { Err(TokenAgeError(seconds)) };
        assert_eq!(Age::from_secs(seconds).map(|_| ()), want, "{seconds}");
    }
}
