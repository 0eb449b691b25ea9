use futures_util::future::{join_all, pending};

use super::*;
use crate::ec2::{Meaning, Reply};

const ACCOUNT: &str = "123456789012";

/// What a scripted EC2 does with the ids of a call; `None` never answers.
type Behaviour = dyn Fn(&[String]) -> Option<Result<Reply, Ec2Fault>> + Send + Sync;

#[derive(Clone)]
struct Script {
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    behaviour: Arc<Behaviour>,
}

impl Script {
    fn new(
        behaviour: impl Fn(&[String]) -> Option<Result<Reply, Ec2Fault>> + Send + Sync + 'static,
    ) -> Self {
        Self { asked: Arc::default(), behaviour: Arc::new(behaviour) }
    }

    fn desk(&self) -> PrivateDnsNames<Self> {
        PrivateDnsNames::new(self.clone(), Pace::new(0, 0))
    }

    /// How many ids each call asked for.
    fn calls(&self) -> Vec<usize> {
        self.asked.lock().unwrap().iter().map(Vec::len).collect()
    }
}

impl Ec2 for Script {
    async fn ask(&self, form: &str) -> Result<Reply, Ec2Fault> {
        let ids: Vec<String> = form
            .split('&')
            .filter(|field| field.starts_with("InstanceId."))
            .map(|field| field.split_once('=').unwrap().1.to_owned())
            .collect();
        self.asked.lock().unwrap().push(ids.clone());
        // As a network would, it takes a moment.
        sleep(Duration::from_millis(1)).await;
        match (self.behaviour)(&ids) {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}

fn told(instances: &[(&str, &str, &str)]) -> Reply {
    let items: String = instances
        .iter()
        .map(|(id, state, name)| {
            format!(
                "<item><ownerId>{ACCOUNT}</ownerId><instancesSet><item><instanceId>{id}</instanceId>\
                 <instanceState><name>{state}</name></instanceState>\
                 <privateDnsName>{name}</privateDnsName></item></instancesSet></item>",
            )
        })
        .collect();
    let body = format!(
        "<DescribeInstancesResponse><reservationSet>{items}</reservationSet>\
         </DescribeInstancesResponse>",
    );
    Reply { status: 200, body: body.into() }
}

fn running(ids: &[String]) -> Reply {
    let named: Vec<_> = ids.iter().map(|id| (&**id, "running", format!("ip.{id}"))).collect();
    told(&named.iter().map(|(id, state, name)| (*id, *state, &**name)).collect::<Vec<_>>())
}

fn unknown(message: &str) -> Reply {
    let body = format!(
        "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code>\
         <Message>{message}</Message></Error></Errors></Response>",
    );
    Reply { status: 400, body: body.into() }
}

fn id(number: usize) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

async fn lookup(
    desk: &PrivateDnsNames<Script>,
    number: usize,
    account: &str,
) -> Result<Box<str>, Ec2Fault> {
    desk.lookup(&id(number), account.parse().unwrap()).await
}

fn name(number: usize) -> Result<Box<str>, Ec2Fault> {
    Ok(format!("ip.{}", id(number)).into())
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_same_instance_shares_the_call_and_the_answer_is_kept() {
    let script = Script::new(|ids| Some(Ok(running(ids))));
    let desk = script.desk();
    let answers = join_all((0..50).map(|_| lookup(&desk, 1, ACCOUNT))).await;
    assert!(answers.iter().all(|answer| *answer == name(1)), "{answers:?}");
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, name(1));
    assert_eq!((script.calls(), desk.calls()), (vec![1], 1));
    sleep(Cache::TTL).await;
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, name(1));
    assert_eq!(script.calls(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_goes_in_batches() {
    let script = Script::new(|ids| Some(Ok(running(ids))));
    let desk = script.desk();
    let answers = join_all((0..250).map(|number| lookup(&desk, number, ACCOUNT))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, name(number));
    }
    assert_eq!(script.calls(), [100, 100, 50]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_its_own_accounts_alone_even_when_it_is_known() {
    let script = Script::new(|ids| Some(Ok(running(ids))));
    let desk = script.desk();
    let (own, other) = tokio::join!(lookup(&desk, 1, ACCOUNT), lookup(&desk, 1, "210987654321"));
    assert_eq!((own, other), (name(1), Err(Ec2Fault::OtherAccount)));
    assert_eq!(lookup(&desk, 1, "210987654321").await, Err(Ec2Fault::OtherAccount));
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, name(1));
    assert_eq!(script.calls(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_instance_fails_alone_whether_or_not_ec2_says_which_it_is() {
    for says_which in [true, false] {
        let script = Script::new(move |ids| {
            let bad = id(13).to_string();
            Some(Ok(match ids.contains(&bad) {
                true if says_which => unknown(&format!("The instance ID '{bad}' does not exist")),
                true => unknown("Invalid id"),
                false => running(ids),
            }))
        });
        let desk = script.desk();
        let answers = join_all((0..64).map(|number| lookup(&desk, number, ACCOUNT))).await;
        for (number, answer) in answers.into_iter().enumerate() {
            let expected = if number == 13 { Err(Ec2Fault::NoSuchInstance) } else { name(number) };
            assert_eq!(answer, expected, "{number}");
        }
        let calls = if says_which {
            vec![64, 63]
        } else {
            vec![64, 32, 16, 8, 4, 2, 1, 1, 2, 4, 8, 16, 32]
        };
        let mut sorted = (script.calls(), calls);
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        assert_eq!(sorted.0, sorted.1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_of_a_running_instance_is_a_denial_and_is_not_kept() {
    for (answer, fault) in [
        (told(&[]), Ec2Fault::NoSuchInstance),
        (told(&[("i-00000001", "running", "")]), Ec2Fault::NoName),
        (told(&[("i-00000001", "running", "a b")]), Ec2Fault::NoName),
        (told(&[("i-00000001", "terminated", "ip.x")]), Ec2Fault::NotRunning),
        (told(&[("i-00000001", "stopped", "ip.x")]), Ec2Fault::NotRunning),
        (told(&[("i-00000002", "running", "ip.x")]), Ec2Fault::NoSuchInstance),
    ] {
        let script = Script::new(move |_| Some(Ok(answer.clone())));
        let desk = script.desk();
        for _ in 0..2 {
            assert_eq!(lookup(&desk, 1, ACCOUNT).await, Err(fault));
        }
        assert_eq!(fault.meaning(), Meaning::Denied);
        assert_eq!(script.calls(), [1, 1], "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_call_is_told_to_all_and_not_kept() {
    for (answer, fault, meaning) in [
        (Err(Ec2Fault::Connect), Ec2Fault::Connect, Meaning::Undecided),
        (Ok(Reply { status: 500, body: vec![] }), Ec2Fault::Status(500), Meaning::Undecided),
        (Ok(Reply { status: 429, body: vec![] }), Ec2Fault::Throttled, Meaning::Throttled),
        (Ok(Reply { status: 200, body: b"<".to_vec() }), Ec2Fault::Unreadable, Meaning::Undecided),
    ] {
        let script = Script::new(move |_| Some(answer.clone()));
        let desk = script.desk();
        let both = tokio::join!(lookup(&desk, 1, ACCOUNT), lookup(&desk, 2, ACCOUNT));
        assert_eq!(both, (Err(fault), Err(fault)));
        assert_eq!(lookup(&desk, 1, ACCOUNT).await, Err(fault));
        assert_eq!(script.calls(), [2, 1]);
        assert_eq!(fault.meaning(), meaning);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_asked_for_in_parts() {
    let script = Script::new(|ids| {
        Some(if ids.len() > 2 { Err(Ec2Fault::TooLarge) } else { Ok(running(ids)) })
    });
    let desk = script.desk();
    let answers = join_all((0..4).map(|number| lookup(&desk, number, ACCOUNT))).await;
    assert_eq!(answers, (0..4).map(name).collect::<Vec<_>>());
    assert_eq!(script.calls(), [4, 2, 2]);
    let script = Script::new(|_| Some(Err(Ec2Fault::TooLarge)));
    assert_eq!(lookup(&script.desk(), 1, ACCOUNT).await, Err(Ec2Fault::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline_and_the_next_one_asks_anew() {
    let script = Script::new(|_| None);
    let desk = script.desk();
    let begun = Instant::now();
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, Err(Ec2Fault::Timeout));
    assert_eq!(begun.elapsed(), DEADLINE);
    // The call itself ends a moment later, counted from when it began.
    sleep(GATHERING * 2).await;
    assert!(desk.desk.state().waiters.is_empty());
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, Err(Ec2Fault::Timeout));
    assert_eq!(script.calls(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_leaves_nobody_waiting() {
    let script = Script::new(|_| panic!("scripted"));
    let desk = script.desk();
    let begun = Instant::now();
    assert_eq!(lookup(&desk, 1, ACCOUNT).await, Err(Ec2Fault::Broken));
    assert!(begun.elapsed() < DEADLINE);
    assert!(desk.desk.state().waiters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn calls_keep_their_pace_and_what_gathers_meanwhile_goes_together() {
    let script = Script::new(|ids| Some(Ok(running(ids))));
    let desk = PrivateDnsNames::new(script.clone(), Pace::new(1, 1));
    let late = |number: usize, after: u64| {
        let desk = &desk;
        async move {
            sleep(Duration::from_millis(after)).await;
            lookup(desk, number, ACCOUNT).await
        }
    };
    let begun = Instant::now();
    let answers = tokio::join!(late(1, 0), late(2, 100), late(3, 500), late(4, 900));
    assert_eq!(answers, (name(1), name(2), name(3), name(4)));
    assert_eq!(script.calls(), [1, 3]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_waited_for_is_told_so() {
    let script = Script::new(|_| None);
    let desk = script.desk();
    for number in 0..MAX_WAITED_FOR {
        assert!(matches!(desk.join(&id(number)), Ok(Joined::Waiting(_))));
    }
    let full = lookup(&desk, MAX_WAITED_FOR, ACCOUNT).await;
    assert_eq!(full, Err(Ec2Fault::Busy));
    assert_eq!(Ec2Fault::Busy.meaning(), Meaning::Throttled);
}
