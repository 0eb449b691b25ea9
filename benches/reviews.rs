//! Reviews without a server around them: the bytes of a question in, the bytes of an answer out.
//!
//! `iamgate-reviews STEP COUNT OF` prepares OF questions, each with a token of its own, and takes
//! COUNT of them through the review as far as STEP. `scripts/instructions` counts the instructions
//! of two such runs; in their difference the preparation, the start and the end cancel out.
//!
//! `iamgate-reviews lookup RULES` times the look-up alone.
//!
//! No network and no runtime: the answers of STS lie ready. No clock and no random numbers: two
//! runs do the same.

use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use iamgate::clock::UnixTime;
use iamgate::identity::{ClusterId, Partition};
use iamgate::mapping::{Mapping, Rules, RulesInput, Who};
use iamgate::review::{Grant, Question};
use iamgate::secret::Secret;
use iamgate::token::{
    Acceptance, Age, Credentials, Endpoint, HostPolicy, Reply, Sts, StsRequest, StsUnavailable,
    Verifier, sign,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, rules] = &arguments[..]
        && word == "lookup"
    {
        return look_up(rules.parse()?);
    }
    let [step, count, of] = &arguments[..] else {
        return Err(
            "usage: iamgate-reviews read|admit|prove|map|answer COUNT OF, or lookup RULES".into()
        );
    };
    let step = Step::named(step).ok_or("no such step")?;
    let (count, of) = (count.parse::<usize>()?, of.parse::<usize>()?);
    if !(1..=of).contains(&count) {
        return Err("COUNT is 1 to OF".into());
    }

    let questions = (0..of).map(question).collect::<Outcome<Vec<_>>>()?;
    let reviewer = Reviewer::new(of, RULES)?;
    let mut last = None;
    for body in questions.iter().take(count) {
        last = reviewer.review(body, step)?;
    }

    // Wrong answers would be quick ones, too.
    let name = format!(r#""username":"team:{}""#, session(count - 1));
    match last.map(String::from_utf8).transpose()? {
        Some(answer) if !answer.contains(&name) => Err(format!("no {name} in {answer}").into()),
        None if step == Step::Answer => Err("no answer".into()),
        Some(_) | None => Ok(()),
    }
}

/// The steps of a review, as the page on its data flow names them.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Step {
    Read,
    Admit,
    Prove,
    Map,
    Answer,
}

impl Step {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "read" => Self::Read,
            "admit" => Self::Admit,
            "prove" => Self::Prove,
            "map" => Self::Map,
            "answer" => Self::Answer,
            _ => return None,
        })
    }
}

/// What stands ready before the first review.
struct Reviewer {
    verifier: Verifier<Ready, UnixTime>,
    accept: Acceptance,
    rules: Rules,
}

impl Reviewer {
    fn new(replies: usize, rules: usize) -> Outcome<Self> {
        let accept = Acceptance {
            cluster_ids: vec![cluster_id()?],
            hosts: HostPolicy::new(Partition::Aws),
            max_age: Age::default(),
        };
        let ready = Ready::new(replies, rules);
        let roles = (0..rules).map(mapping).collect::<Outcome<_>>()?;
        let rules = Rules::new(RulesInput { roles, sso: true, ..RulesInput::default() });
        Ok(Self { verifier: Verifier::new(ready, NOW), accept, rules })
    }

    /// The same calls in the same order as the server's, logs and metrics aside.
    fn review(&self, body: &[u8], until: Step) -> Outcome<Option<Vec<u8>>> {
        let question = Question::read(body)?;
        if until == Step::Read {
            black_box(&question);
            return Ok(None);
        }
        let fresh = self.verifier.admit(question.token(), &self.accept)?;
        if until == Step::Admit {
            black_box(&fresh);
            return Ok(None);
        }
        let caller = at_once(self.verifier.prove(&fresh, &self.accept))??;
        if until == Step::Prove {
            black_box(&caller);
            return Ok(None);
        }
        let identity = caller.identity();
        let found = self.rules.find(identity)?;
        if found.needs_private_dns() {
            return Err("EC2 would have to be asked".into());
        }
        let user = found.render(identity, None)?;
        if until == Step::Map {
            black_box(&user);
            return Ok(None);
        }
        let grant = Grant { user: &user, identity, scrubbed: false };
        Ok(Some(grant.answer(question.version())))
    }
}

/// Prints the nanoseconds that finding and rendering one caller's user takes among so many rules.
fn look_up(rules: usize) -> Outcome<()> {
    let reviewer = Reviewer::new(CALLERS, rules)?;
    let callers = (0..CALLERS).map(|number| {
        let question = question(number)?;
        let question = Question::read(&question)?;
        let fresh = reviewer.verifier.admit(question.token(), &reviewer.accept)?;
        Ok(at_once(reviewer.verifier.prove(&fresh, &reviewer.accept))??)
    });
    let callers = callers.collect::<Outcome<Vec<_>>>()?;
    let began = std::time::Instant::now();
    for _ in 0..TURNS {
        for caller in &callers {
            let identity = caller.identity();
            black_box(reviewer.rules.find(identity)?.render(identity, None)?);
        }
    }
    let each = began.elapsed().as_nanos() / (CALLERS * TURNS) as u128;
    Ok(writeln!(std::io::stdout(), "{each}")?)
}

/// What a future has that waits for nobody.
fn at_once<T>(future: impl Future<Output = T>) -> Outcome<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("a wait where there is nothing to wait for".into()),
    }
}

/// An STS whose answers lie ready, in the order of the questions.
struct Ready(Mutex<VecDeque<Reply>>);

impl Ready {
    fn new(count: usize, rules: usize) -> Self {
        // Spread over all of the rules, wherever they end.
        Self(Mutex::new((0..count).map(|number| reply(number, number * 7919 % rules)).collect()))
    }
}

impl Sts for Ready {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        black_box(request.target.expose());
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        reply.ok_or(StsUnavailable::Connect)
    }
}

/// As kube-apiserver writes it, with a token that is signed as `iamgate token` signs.
fn question(number: usize) -> Outcome<Vec<u8>> {
    let credentials = Credentials {
        access_key_id: access_key_id(number).into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        session_token: Some(Secret::new(session_token(number))),
    };
    let endpoint = Endpoint::of("us-west-2", false, false)?;
    let token = sign(&credentials, &endpoint, &cluster_id()?, NOW)?;
    let token = token.text.expose();
    let body = format!(
        r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{{"creationTimestamp":null}},"spec":{{"token":"{token}","audiences":["https://kubernetes.default.svc.cluster.local"]}},"status":{{"user":{{}}}}}}"#
    );
    Ok(body.into_bytes())
}

/// As STS writes it.
fn reply(number: usize, rule: usize) -> Reply {
    let (role, session) = (role(rule), session(number));
    let body = format!(
        r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":"{ACCOUNT}","Arn":"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}","UserId":"AROAIOSFODNN7EXAMPLE:{session}"}},"ResponseMetadata":{{"RequestId":"01234567-89ab-cdef-0123-456789abcdef"}}}}}}"#
    );
    Reply { status: 200, json: true, body: body.into_bytes() }
}

fn mapping(number: usize) -> Outcome<Mapping> {
    Ok(Mapping {
        who: Who::Arn(format!("arn:aws:iam::{ACCOUNT}:role/{}", role(number)).parse()?),
        username: "team:{{SessionName}}".parse()?,
        groups: vec!["developers".parse()?, "viewers".parse()?],
        line: None,
    })
}

fn role(number: usize) -> String {
    format!("Team-{number:04}-Developers")
}

fn session(number: usize) -> String {
    format!("somebody-{number:06}-example.com")
}

fn access_key_id(number: usize) -> String {
    format!("ASIAIOSFODNN{number:08}")
}

/// Base64 as STS gives it, with all of its alphabet, so that some of it has to be encoded.
fn session_token(number: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text: String = (0..SESSION_TOKEN - 10)
        .filter_map(|at| alphabet.get((at * 29 + at / 64 + number) % alphabet.len()))
        .map(|byte| char::from(*byte))
        .collect();
    text.push_str(&format!("{number:08}=="));
    text
}

fn cluster_id() -> Outcome<ClusterId> {
    Ok("bench".parse()?)
}

/// 2026-01-02T03:04:05Z, when every token is signed and judged.
const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);
const ACCOUNT: &str = "123456789012";
/// Entries of the role list; a large cluster's file.
const RULES: usize = 1000;
/// Callers that are looked up, and how often each.
const CALLERS: usize = 1000;
const TURNS: usize = 100;
/// Bytes of a common session token.
const SESSION_TOKEN: usize = 832;
