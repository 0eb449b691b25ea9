use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::cache::Cache;
use super::describe::{self, CallFault, Instance};
use super::{Ec2, Ec2Fault, Pace, PrivateDns};
use crate::identity::AccountId;
use crate::mapping::InstanceId;

/// Caches, coalesces, batches and paces what is asked of EC2, of one region.
///
/// Whoever asks for an instance that is being looked up waits for that answer; new ones are
/// gathered for a moment and asked for together. Only names of running instances are kept, each
/// with its owner, against which every caller's account is compared.
#[derive(Debug)]
pub struct PrivateDnsNames<E> {
    desk: Arc<Desk<E>>,
}

impl<E: Ec2> PrivateDnsNames<E> {
    /// Asks `ec2` at `pace`. Must be used inside a tokio runtime.
    pub fn new(ec2: E, pace: Pace) -> Self {
        let state = Mutex::new(State::default());
        Self { desk: Arc::new(Desk { ec2, pace, state, calls: AtomicU64::new(0) }) }
    }

    /// How many `DescribeInstances` calls were made.
    pub fn calls(&self) -> u64 {
        self.desk.calls.load(Ordering::Relaxed)
    }
}

impl<E: Ec2> PrivateDns for PrivateDnsNames<E> {
    async fn lookup(
        &self,
        instance: &InstanceId,
        account: AccountId,
    ) -> Result<Box<str>, Ec2Fault> {
        let found = match self.join(instance)? {
            Joined::Known(known) => known,
            Joined::Waiting(answer) => match timeout(DEADLINE, answer).await {
                Ok(Ok(answer)) => answer?,
                Ok(Err(_)) => return Err(Ec2Fault::Broken),
                Err(_) => return Err(Ec2Fault::Timeout),
            },
        };
        if found.owner == account { Ok(found.name) } else { Err(Ec2Fault::OtherAccount) }
    }
}

impl<E: Ec2> PrivateDnsNames<E> {
    fn join(&self, id: &InstanceId) -> Result<Joined, Ec2Fault> {
        let mut state = self.desk.state();
        if let Some(known) = state.cache.find(id, Instant::now()) {
            return Ok(Joined::Known(known));
        }
        let (sender, answer) = oneshot::channel();
        if let Some(waiters) = state.waiters.get_mut(id) {
            waiters.push(sender);
            return Ok(Joined::Waiting(answer));
        }
        if state.waiters.len() >= MAX_WAITED_FOR {
            return Err(Ec2Fault::Busy);
        }
        state.waiters.insert(id.clone(), vec![sender]);
        state.new.push(id.clone());
        if !std::mem::replace(&mut state.gathering, true) {
            tokio::spawn(gather(Arc::clone(&self.desk)));
        }
        Ok(Joined::Waiting(answer))
    }
}

enum Joined {
    Known(Instance),
    Waiting(oneshot::Receiver<Answer>),
}

type Answer = Result<Instance, Ec2Fault>;

/// Where questions wait and answers are handed out.
#[derive(Debug)]
struct Desk<E> {
    ec2: E,
    pace: Pace,
    state: Mutex<State>,
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// Who waits for which instance.
    waiters: HashMap<InstanceId, Vec<oneshot::Sender<Answer>>>,
    /// Instances that are waited for and not yet asked for.
    new: Vec<InstanceId>,
    /// Whether a task is there that will ask for the new ones.
    gathering: bool,
}

/// Lets questions gather, then sends them off, until there are none.
async fn gather<E: Ec2>(desk: Arc<Desk<E>>) {
    loop {
        sleep(GATHERING).await;
        // What comes in while we wait for our turn goes with the same call.
        desk.pace.turn().await;
        let (ids, more) = {
            let mut state = desk.state();
            let most = state.new.len().min(MAX_IDS);
            let ids: Vec<InstanceId> = state.new.drain(..most).collect();
            state.gathering = !state.new.is_empty();
            (ids, state.gathering)
        };
        tokio::spawn(
            Trip { desk: Arc::clone(&desk), left: ids.iter().cloned().collect() }.run(ids),
        );
        if !more {
            return;
        }
    }
}

/// One batch under way. However it ends, nobody is left waiting for it.
struct Trip<E: Ec2> {
    desk: Arc<Desk<E>>,
    /// Instances of it that have no answer yet, so that nobody else asks for them.
    left: HashSet<InstanceId>,
}

impl<E: Ec2> Trip<E> {
    async fn run(mut self, ids: Vec<InstanceId>) {
        if timeout(DEADLINE, self.ask_for(ids)).await.is_err() {
            for id in std::mem::take(&mut self.left) {
                self.desk.settle(&id, &Err(Ec2Fault::Timeout));
            }
        }
    }

    /// Asks for `ids`, in parts where EC2 will not answer for all of them: it tells nothing if it
    /// does not know one, and callers can make ids up.
    async fn ask_for(&mut self, ids: Vec<InstanceId>) {
        let desk = Arc::clone(&self.desk);
        let mut parts = vec![ids];
        let mut first = true;
        while let Some(mut ids) = parts.pop() {
            if !std::mem::take(&mut first) {
                desk.pace.turn().await;
            }
            desk.calls.fetch_add(1, Ordering::Relaxed);
            let answer = match desk.ec2.ask(&describe::form(&ids)).await {
                Ok(reply) => describe::read(&reply),
                Err(fault) => Err(CallFault::Fault(fault)),
            };
            let fault = match answer {
                Ok(found) => {
                    for id in &ids {
                        self.settle(id, found.get(id).unwrap_or(&Err(Ec2Fault::NoSuchInstance)));
                    }
                    continue;
                }
                Err(CallFault::Unknown(named)) => {
                    let (unknown, rest): (Vec<_>, Vec<_>) =
                        ids.into_iter().partition(|id| named.contains(id));
                    for id in &unknown {
                        self.settle(id, &Err(Ec2Fault::NoSuchInstance));
                    }
                    ids = rest;
                    if !unknown.is_empty() {
                        parts.extend((!ids.is_empty()).then_some(ids));
                        continue;
                    }
                    Ec2Fault::NoSuchInstance
                }
                Err(CallFault::Fault(fault)) => fault,
            };
            let divisible = matches!(fault, Ec2Fault::NoSuchInstance | Ec2Fault::TooLarge);
            if divisible && ids.len() > 1 {
                let half = ids.split_off(ids.len() / 2);
                parts.extend([half, ids]);
                continue;
            }
            for id in &ids {
                self.settle(id, &Err(fault));
            }
        }
    }

    fn settle(&mut self, id: &InstanceId, answer: &Answer) {
        self.left.remove(id);
        self.desk.settle(id, answer);
    }
}

impl<E: Ec2> Drop for Trip<E> {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        for id in &self.left {
            state.waiters.remove(id);
        }
    }
}

impl<E> Desk<E> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the answer to all who wait for it. One who has gone does not matter.
    fn settle(&self, id: &InstanceId, answer: &Answer) {
        let waiters = {
            let mut state = self.state();
            if let Ok(instance) = answer {
                state.cache.insert(id.clone(), instance.clone(), Instant::now());
            }
            state.waiters.remove(id).unwrap_or_default()
        };
        for waiter in waiters {
            drop(waiter.send(answer.clone()));
        }
    }
}

/// How long anyone waits: kube-apiserver gives a webhook 30 s, a kubelet's heartbeat 10 s.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long questions gather: nodes come in crowds, and this is a tenth of a call.
const GATHERING: Duration = Duration::from_millis(10);

/// Instances of one call.
const MAX_IDS: usize = 100;

/// Instances that may be waited for, as many as the reference's queue holds; about 1 MiB.
const MAX_WAITED_FOR: usize = 8_000;

#[cfg(test)]
mod tests;
