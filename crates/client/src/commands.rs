//! Whatever changes a log but appends to it: one producer a client, opened with the first command.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use paxlog_session::{Command, CommandsConfig, Token};
use paxlog_wire::Code;
use paxlog_wire::client::CommandOutcome;
use tokio::sync::oneshot;

use crate::driver::Driver;
use crate::pool::Pool;
use crate::{Error, random};

/// Runs the commands of one client, in order.
#[derive(Debug)]
pub(crate) struct Commands {
    pool: Arc<Pool>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    inbox: VecDeque<Item>,
    /// The task waits for something in the inbox; none while there is no task.
    waker: Option<Waker>,
    running: bool,
    /// What is under way is given up.
    given_up: bool,
}

#[derive(Debug)]
struct Item {
    command: Command,
    deadline: Duration,
    reply: oneshot::Sender<Result<CommandOutcome, Error>>,
}

impl Commands {
    pub(crate) fn new(pool: Arc<Pool>) -> Commands {
        Commands {
            pool,
            queue: Arc::default(),
        }
    }

    pub(crate) async fn run(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<CommandOutcome, Error> {
        let (reply, receiver) = oneshot::channel();
        let start = {
            let mut queue = lock(&self.queue);
            queue.inbox.push_back(Item {
                command,
                deadline,
                reply,
            });
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let machine = paxlog_session::Commands::new(
                CommandsConfig::new(random::nonce(), random::seed()),
                self.pool.tracker(),
            );
            tokio::spawn(Task {
                driver: Driver::new(self.pool.clone(), machine),
                queue: Arc::downgrade(&self.queue),
                replies: VecDeque::new(),
                next_token: 0,
            });
        }
        let gone = |_| {
            Error::new(
                Code::OutcomeUnknown,
                "the client was shut down before the answer came",
            )
        };
        receiver.await.map_err(gone)?
    }

    /// Ends what is under way with what is known of it.
    pub(crate) fn give_up(&self) {
        let mut queue = lock(&self.queue);
        // Without a task nothing is under way.
        queue.given_up = queue.running;
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        // The task sees that nobody is left.
        if let Some(waker) = lock(&self.queue).waker.take() {
            waker.wake();
        }
    }
}

struct Task {
    driver: Driver<paxlog_session::Commands>,
    queue: Weak<Mutex<Queue>>,
    replies: VecDeque<(Token, oneshot::Sender<Result<CommandOutcome, Error>>)>,
    next_token: u64,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        loop {
            let (inbox, given_up) = match task.queue.upgrade() {
                Some(queue) => {
                    let mut queue = lock(&queue);
                    queue.waker = Some(context.waker().clone());
                    let given_up = std::mem::take(&mut queue.given_up);
                    (std::mem::take(&mut queue.inbox), given_up)
                }
                None if task.replies.is_empty() => return Poll::Ready(()),
                None => (VecDeque::new(), false),
            };
            for item in inbox {
                task.give(item);
            }
            if given_up {
                let why = Error::new(Code::Unavailable, "it was given up before it was answered");
                task.driver.machine.give_up(why);
            }
            while let Some(done) = task.driver.machine.poll_done() {
                let at = task
                    .replies
                    .iter()
                    .position(|(token, _)| *token == done.token);
                if let Some((_, reply)) = at.and_then(|at| task.replies.remove(at)) {
                    // Whoever asked may have stopped waiting.
                    let result = done.result.map_err(|error| task.driver.explain(error));
                    let _ = reply.send(result);
                }
            }
            if task.driver.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Task {
    fn give(&mut self, item: Item) {
        let (now, token) = (self.driver.now(), Token(self.next_token));
        self.next_token += 1;
        self.replies.push_back((token, item.reply));
        let deadline = now + item.deadline.as_nanos() as u64;
        let machine = &mut self.driver.machine;
        machine.push(now, token, item.command, deadline);
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // No code in here panics while it holds the lock.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
