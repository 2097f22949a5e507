//! What goes wrong in a world, and how often.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::lambda::Role;

/// A thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A request to the store fails with 503 SlowDown, 500 or a timeout, and nothing was done.
    StoreError,
    /// A conditional write fails with 409, and nothing was done.
    WriteRaced,
    /// A request is done, and its caller is told of a timeout or a 500.
    AnswerLost,
    /// A conditional write is done and its answer is lost; the client sends it again, and is told 412.
    SentAgain,
    /// The body of an object breaks off.
    BodyCut,
    /// A request takes seconds, or minutes.
    Late,
    /// The invocation fails before its handler has done anything.
    StartFails,
    /// The invocation's machine is slow: all that it does takes longer by far.
    SlowMachine,
    /// The invocation ends at a request, before it or after: everything that was done stays, and Lambda tells of it.
    Death,
    /// An invocation is refused with 429.
    Throttled,
    /// An invocation fails with 500, or with 409 as after a deploy, and nothing is run.
    InvokeError,
    /// An event is taken, and its sender is told that the service failed.
    InvokeAnswerLost,
    /// An event waits for minutes, and so comes out of order.
    EventLate,
    /// An event comes twice, with the same request id.
    EventTwice,
    /// An event is taken and never comes; nobody is told.
    EventLost,
    /// An event grows too old in the queue: it never comes, and the on-failure destination is told.
    EventAged,
}

impl Fault {
    /// All of them, in the order of this file.
    pub const ALL: [Self; 16] = [
        Self::StoreError,
        Self::WriteRaced,
        Self::AnswerLost,
        Self::SentAgain,
        Self::BodyCut,
        Self::Late,
        Self::StartFails,
        Self::SlowMachine,
        Self::Death,
        Self::Throttled,
        Self::InvokeError,
        Self::InvokeAnswerLost,
        Self::EventLate,
        Self::EventTwice,
        Self::EventLost,
        Self::EventAged,
    ];

    fn place(self) -> usize {
        self as usize
    }

    /// A rate among the most that a job of some partitions can be brought to its end with. Events are few beside requests.
    fn rate_max(self) -> f64 {
        match self {
            Self::Death => 0.03,
            Self::StoreError | Self::AnswerLost | Self::SentAgain | Self::Late => 0.04,
            Self::WriteRaced | Self::BodyCut | Self::StartFails | Self::SlowMachine => 0.1,
            Self::Throttled | Self::InvokeError | Self::InvokeAnswerLost => 0.3,
            Self::EventLate | Self::EventTwice => 0.4,
            Self::EventLost | Self::EventAged => 0.15,
        }
    }
}

/// A number for each fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerFault<N>([N; Fault::ALL.len()]);

impl<N: Copy> PerFault<N> {
    /// That of one.
    pub fn of(&self, fault: Fault) -> N {
        self.0[fault.place()]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, N)> + '_ {
        Fault::ALL.into_iter().map(|fault| (fault, self.of(fault)))
    }
}

impl PerFault<u64> {
    /// Counts one more.
    pub(crate) fn count(&mut self, fault: Fault) {
        self.0[fault.place()] += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// How many there were, of all kinds.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// How often each fault happens, from 0.0 (never) to 1.0 (at each request, or event), and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    rates: PerFault<f64>,
    /// The function of which invocations die most often, if one does.
    pub(crate) weakest: Option<Role>,
    /// What stands in the keys at which requests are late most often, if they are at some.
    pub(crate) late_below: Option<&'static str>,
    /// After so long nothing goes wrong any more, so that a job must end.
    pub until: Duration,
}

impl Rates {
    /// A world in which nothing goes wrong.
    pub fn none() -> Self {
        Self { rates: PerFault::default(), weakest: None, late_below: None, until: Duration::ZERO }
    }

    /// Some faults, each more or less often. Only some at once: with all of them in every world, rare ones would hide
    /// behind frequent ones.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let until = Duration::from_secs(60 * random.u64(1..=120));
        let weight = *[0.1, 0.3, 1.0].get(random.usize(..3)).unwrap_or(&1.0);
        let mut rates = PerFault::default();
        for fault in Fault::ALL {
            if random.u32(..3) == 0 {
                rates.0[fault.place()] = fault.rate_max() * weight * random.f64();
            }
        }
        let weakest = Role::ALL.get(random.usize(..6)).copied();
        Self { rates, weakest, late_below: None, until }
    }

    /// Has these faults happen so often.
    pub(crate) fn set(&mut self, rates: &[(Fault, f64)]) {
        for (fault, rate) in rates {
            self.rates.0[fault.place()] = *rate;
        }
    }

    /// The rate of one, with events.
    pub(crate) fn of(&self, fault: Fault) -> f64 {
        self.rates.of(fault)
    }

    /// How many times as often a request to this place is late as others are.
    pub(crate) fn lateness(&self, at: &str) -> f64 {
        if self.late_below.is_some_and(|part| at.contains(part)) { 10.0 } else { 1.0 }
    }

    /// The rate of one, in an invocation of this function.
    pub(crate) fn within(&self, role: Role, fault: Fault) -> f64 {
        let is_death = matches!(fault, Fault::Death | Fault::StartFails);
        // Where none ever started, and each death were told twice, what is sent would double with every try.
        if is_death && self.weakest == Some(role) { (5.0 * self.of(fault)).min(0.5) } else { self.of(fault) }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "until {} s, weakest {:?}:", self.until.as_secs(), self.weakest)?;
        for (fault, rate) in self.rates.iter().filter(|(_, rate)| *rate > 0.0) {
            write!(f, " {fault:?} {:.2}%", rate * 100.0)?;
        }
        Ok(())
    }
}
